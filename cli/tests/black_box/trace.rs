//! `probity trace`: replayed, with an independent count beside it; live where we are root.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::process::live;
use crate::{Scratch, probity, programs};

fn recording(name: &str) -> PathBuf {
    programs(&format!("recordings/{name}.perf.data"))
}

/// The data of a JSON map record.
fn map<'a>(rows: &'a [Value], name: &str) -> &'a serde_json::Map<String, Value> {
    rows.iter()
        .filter(|r| r["type"] == "map")
        .find_map(|r| r["data"].get(name)?.as_object())
        .unwrap_or_else(|| panic!("no map {name} in {rows:?}"))
}

fn total(map: &serde_json::Map<String, Value>) -> u64 {
    map.values().map(|v| v.as_u64().expect("a count")).sum()
}

const BY_PROCESS: &str = "scripts/syscalls-by-process.bt";

#[test]
fn replays_the_same_on_every_run_and_engine() {
    let script = programs(BY_PROCESS);
    let replay = |engine: &str| {
        probity![
            "trace",
            "--engine",
            engine,
            "--replay",
            &recording("syscalls"),
            &script
        ]
        .run()
        .ok()
        .prints(&["@calls[sort]: ", "@calls[sh]: ", "@numbers[0]: "])
        .stdout
    };
    let first = replay("interp");
    assert_eq!(replay("interp"), first);
    assert_eq!(replay("jit"), first);
    assert_eq!(replay("jit"), first);
}

/// Every call is counted once by process and once by number.
#[test]
fn counts_agree_with_each_other() {
    let rows = probity![
        "trace",
        "-f",
        "json",
        "--replay",
        &recording("syscalls"),
        &programs(BY_PROCESS)
    ]
    .run()
    .ok()
    .json_lines();
    let calls = total(map(&rows, "@calls"));
    assert!(calls > 100);
    assert_eq!(calls, total(map(&rows, "@numbers")));
    let one = probity![
        "trace",
        "-f",
        "json",
        "--replay",
        &recording("syscalls"),
        "-e",
        "tracepoint:raw_syscalls:sys_enter { @n[1] = count(); }"
    ]
    .run()
    .ok()
    .json_lines();
    assert_eq!(calls, total(map(&one, "@n")));
}

/// `perf script` reads the same file with other code.
#[test]
fn counts_agree_with_perf() {
    let perf = std::process::Command::new("perf")
        .args(["script", "-F", "comm,event", "-i"])
        .arg(recording("syscalls"))
        .output();
    let Some(perf) = perf.ok().filter(|p| p.status.success()) else {
        println!("skipped: no perf that reads the recording");
        return;
    };
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for line in String::from_utf8_lossy(&perf.stdout).lines() {
        if let Some((comm, _)) = line.split_once("raw_syscalls:sys_enter:") {
            *expected.entry(comm.trim().to_string()).or_default() += 1;
        }
    }
    assert!(expected.len() > 3, "{expected:?}");
    let rows = probity![
        "trace",
        "-f",
        "json",
        "--replay",
        &recording("syscalls"),
        &programs(BY_PROCESS)
    ]
    .run()
    .ok()
    .json_lines();
    let ours: BTreeMap<String, u64> = map(&rows, "@calls")
        .iter()
        .map(|(k, v)| (k.clone(), v.as_u64().unwrap()))
        .collect();
    assert_eq!(ours, expected);
}

/// Each script that a recording can feed, over it; text at the end of a record included.
#[test]
fn scripts_over_their_recordings() {
    for (script, data, words) in [
        ("open-files", "files", &["PROCESS", "sh ", "@opened["][..]),
        (
            "read-sizes",
            "files",
            &["@read_bytes:", "@write_stats[", "[512, 1K)"],
        ),
        ("off-cpu", "sched", &["@usecs[", "|@"]),
        ("exec-snoop", "sched", &["MSECS", "/bin/", "@execs: "]),
    ] {
        let script = programs(&format!("scripts/{script}.bt"));
        let run = |engine: &str| {
            probity![
                "trace",
                "--engine",
                engine,
                "--replay",
                &recording(data),
                &script
            ]
            .run()
            .ok()
            .prints(words)
            .stdout
        };
        assert_eq!(run("interp"), run("jit"), "{}", script.display());
    }
}

#[test]
fn probes_that_a_recording_lacks() {
    let by_process = programs(BY_PROCESS);
    probity!["trace", "--replay", &recording("sched"), &by_process]
        .run()
        .fails(&[
            "raw_syscalls:sys_enter",
            "the recording holds",
            "sched:sched_switch",
        ]);
    probity![
        "trace",
        "--replay",
        &recording("sched"),
        &programs("scripts/malloc.bt")
    ]
    .run()
    .fails(&["uprobe:libc:malloc", "none of the script's probes"]);
    probity!["trace", "--replay", &recording("sched"), "-l", "*"]
        .run()
        .ok()
        .prints(&["tracepoint:sched:sched_switch\n"]);
    probity!["trace", "--replay", &recording("sched"), "-l", "nonsense"]
        .run()
        .fails(&["nonsense"]);
}

#[test]
fn begin_end_exit_and_parameters() {
    let rec = recording("syscalls");
    let script = "begin { printf(\"hello %s\\n\", str($1)); } \
                  tracepoint:raw_syscalls:sys_enter { @ = count(); } end { printf(\"bye\\n\"); }";
    let done = probity!["trace", "-q", "--replay", &rec, "-e", script, "world"]
        .run()
        .ok();
    assert!(done.stdout.starts_with("hello world\nbye\n"), "{done}");
    assert!(done.stdout.contains("@: "), "{done}");
    let done = probity![
        "trace",
        "-q",
        "--replay",
        &rec,
        "-e",
        "tracepoint:raw_syscalls:sys_enter { printf(\"one\\n\"); exit(3); }"
    ]
    .run();
    assert_eq!((done.code, done.stdout.as_str()), (3, "one\n"), "{done}");
}

#[test]
fn output_to_a_file() {
    let scratch = Scratch::new();
    let to = scratch.path("out.txt");
    let whole = probity![
        "trace",
        "--replay",
        &recording("syscalls"),
        &programs(BY_PROCESS)
    ]
    .run()
    .ok()
    .stdout;
    let done = probity![
        "trace",
        "-o",
        &to,
        "--replay",
        &recording("syscalls"),
        &programs(BY_PROCESS)
    ]
    .run()
    .ok();
    assert!(done.stdout.is_empty(), "{done}");
    assert_eq!(std::fs::read_to_string(to).unwrap(), whole);
    probity![
        "trace",
        "-o",
        "/no/such/place",
        "--replay",
        &recording("syscalls"),
        &programs(BY_PROCESS)
    ]
    .run()
    .fails(&["/no/such/place"]);
}

#[test]
fn a_script_from_standard_input() {
    probity!["trace", "--replay", &recording("syscalls"), "-"]
        .stdin("tracepoint:raw_syscalls:sys_enter { @n = count(); }")
        .run()
        .ok()
        .prints(&["@n: "]);
}

#[test]
fn a_recording_takes_no_live_options() {
    let rec = recording("syscalls");
    probity![
        "trace",
        "--replay",
        &rec,
        "-d",
        "3",
        "-e",
        "begin { exit(); }"
    ]
    .run()
    .misused(&["--duration"]);
    probity![
        "trace",
        "--replay",
        &rec,
        "-c",
        "true",
        "-e",
        "begin { exit(); }"
    ]
    .run()
    .misused(&["-c"]);
    probity!["trace", "--engine", "jit", "-e", "begin { exit(); }"]
        .run()
        .misused(&["--replay"]);
}

#[test]
fn live_counts_of_a_command() {
    if !live() {
        return;
    }
    // A shell of our own that makes a known number of chdir system calls.
    let rows = probity![
        "trace",
        "-f",
        "json",
        "-c",
        "sh -c 'for i in 1 2 3 4 5 6 7; do cd /; cd /tmp; done'",
        "-e",
        "tracepoint:syscalls:sys_enter_chdir /pid == cpid/ { @n[\"chdir\"] = count(); }"
    ]
    .run()
    .ok()
    .json_lines();
    assert_eq!(total(map(&rows, "@n")), 14, "{rows:?}");
}

#[test]
fn live_for_a_while() {
    if !live() {
        return;
    }
    let done = probity!["trace", "--duration", "1", &programs(BY_PROCESS)]
        .run()
        .ok();
    done.prints(&["@calls[", "@numbers["]);
}

#[test]
fn unknown_probes_name_the_nearest() {
    if !live() {
        return;
    }
    for (text, words) in [
        (
            "tracepoint:sched:sched_swich { @ = count(); }",
            &["stdin:1:1", "sched_swich", "sched_switch"][..],
        ),
        (
            "tracepoint:shced:sched_switch { @ = count(); }",
            &["shced", "sched:sched_switch"],
        ),
        (
            "kprobe:do_sys_openat3 { @ = count(); }",
            &["do_sys_openat3", "do_sys_openat2"],
        ),
        ("uprobe:libc:maloc { @ = count(); }", &["maloc", "malloc"]),
        (
            "uprobe:/no/such/file:f { @ = count(); }",
            &["/no/such/file"],
        ),
    ] {
        probity!["trace", "--dry-run", "-e", text]
            .run()
            .fails(words);
        probity!["trace", "-e", text].run().fails(words);
    }
    probity!["trace", "-l", "tracepoint:nonsense:*"]
        .run()
        .fails(&["tracepoint:nonsense:*"]);
    probity!["trace", "-l", "tracepoint:sched:*"]
        .run()
        .ok()
        .prints(&["tracepoint:sched:sched_switch\n"]);
}

#[test]
fn a_script_becomes_a_command_of_its_own() {
    let scratch = Scratch::new();
    scratch.file("twice.bt", "macro twice(e) { e + e }\n");
    let script = scratch.file(
        "main.bt",
        "import \"twice.bt\";\ntest:sum { assert(twice(getopt(\"n\", 1)) == 6, \"n is 3\"); }\nbegin { }\n",
    );
    let command = scratch.path("command");
    probity!["trace", "--aot", &command, &script].run().ok();
    let run = |args: &[&str]| {
        std::process::Command::new(&command)
            .args(args)
            .output()
            .expect("it can be run")
    };
    let done = run(&["--test", "--", "--n=3"]);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(said, "test sum ... ok\n");
    assert_eq!(run(&["--test", "--", "--n=4"]).status.code(), Some(1));
}

#[test]
fn headers_that_are_not_there_are_named() {
    let text = |include: &str| format!("#include {include}\nbegin {{ }}");
    for include in ["<lol/no.h>", "\"mine.h\""] {
        let done = probity!["trace", "--dry-run", "-e", &text(include)].run();
        assert_eq!(done.code, 1);
        assert!(
            done.stderr.contains("stdin:1:1-") && done.stderr.contains("file not found"),
            "{}",
            done.stderr
        );
    }
    // The kernel's and C's own are not needed.
    for include in ["<linux/sched.h>", "<stdint.h>", "<net/sock.h>"] {
        probity!["trace", "--dry-run", "-e", &text(include)]
            .run()
            .ok();
    }
}

/// What can be known before the script runs is; the branch that is not taken is not compiled.
#[test]
fn types_are_told_before_the_script_runs() {
    let script = "macro told(x) { if comptime is_str(x) { strlen(x) } else { x } }
        test:types {
            assert(typeinfo((uint8)5).2 == \"uint8\", \"width\");
            assert(typeinfo(comm).1 == \"string\", \"kind\");
            assert(typeinfo((uint64 *)0).2 == \"uint64 *\", \"address\");
            assert(told(\"abc\") == 3, \"text\");
            assert(told(7) == 7, \"number\");
            assert(is_literal(5) && !is_literal(pid), \"literal\");
            assert(is_integer(pid) && is_unsigned_integer((uint8)1) && !is_ptr(pid), \"integer\");
            assert(sizeof(1) == 1 && sizeof(300) == 2 && sizeof(-70000) == 4, \"literals\");
            if ($1 > 5) { fail(\"more than 5\"); }
        }";
    let done = probity!["trace", "--test", "-e", script, "5"].run().ok();
    assert_eq!(done.stdout, "test types ... ok\n");
    let done = probity!["trace", "--test", "-e", script, "6"].run();
    assert!(done.stderr.contains("more than 5"), "{}", done.stderr);
    let done = probity![
        "trace",
        "--dry-run",
        "-e",
        "begin { if comptime pid == 1 { } }"
    ]
    .run();
    assert!(
        done.stderr.contains("known only when the script runs"),
        "{}",
        done.stderr
    );
}

#[test]
fn what_changes_the_machine_must_be_allowed() {
    for script in ["begin { system(\"true\"); }", "begin { signal(9); }"] {
        let done = probity!["trace", "--dry-run", "-e", script].run();
        assert_eq!(done.code, 1);
        assert!(
            done.stderr.contains("unsafe function") && done.stderr.contains("--unsafe"),
            "{}",
            done.stderr
        );
        probity!["trace", "--dry-run", "--unsafe", "-e", script]
            .run()
            .ok();
    }
}

/// Scripts list the names of several calls; what was recorded is the one that happened.
#[test]
fn a_recording_need_not_have_every_probe_of_a_list() {
    let entered =
        "tracepoint:syscalls:sys_enter_open, tracepoint:syscalls:sys_enter_openat { @ = count(); }";
    let replay = |script: &str| {
        let open_files = programs("recordings/open-files.perf.data");
        probity!["trace", "--replay", &open_files, "-e", script].run()
    };
    let done = replay(entered).ok();
    assert!(
        done.stderr
            .contains("WARNING: No matches for tracepoint syscalls:sys_enter_open."),
        "{}",
        done.stderr
    );
    assert!(done.stdout.contains("@: 3"), "{}", done.stdout);
    // A probe with nothing left is a mistake still.
    assert_eq!(
        replay("tracepoint:syscalls:sys_enter_open { @ = count(); }").code,
        1
    );
}
