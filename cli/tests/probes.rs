//! Each kind of probe that this kernel has, as root, held to a known load: N of everything counts N.
//! Kinds that need kprobes or trampolines are held to it in a virtual machine (`tests/vm/script-probes.sh`).

mod common;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

const N: u64 = 137;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The load, built; `None` says why nothing is tested.
fn load() -> Option<&'static str> {
    static LOAD: OnceLock<Option<String>> = OnceLock::new();
    LOAD.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let is_root = status
            .lines()
            .any(|l| l.starts_with("Uid:") && l.split_whitespace().nth(2) == Some("0"));
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let file = directory.join("load");
        let built = Command::new("cc")
            .args(["-O1", "-g", "-static", "-no-pie", "-o"])
            .arg(&file)
            .arg(root().join("tests/vm/load.c"))
            .status();
        if is_root && built.is_ok_and(|s| s.success()) {
            return Some(file.display().to_string());
        }
        assert!(
            std::env::var_os("PROBITY_REQUIRE_KERNEL").is_none(),
            "the kernel is required, but this is not root, or cc is missing"
        );
        println!("skipped: not root, or no cc");
        None
    })
    .as_deref()
}

fn probity(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_probity"))
        .current_dir(root())
        .arg("trace")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The maps that a script ends with, run beside the load.
fn maps(script: &str, more: &[&str]) -> Value {
    let command = format!("{} {N}", load().unwrap());
    let args = [&["-f", "json", "-c", &command, "-e", script], more].concat();
    let done = probity(&args);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    let mut all = serde_json::Map::new();
    for row in text.lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        if let ("map", Some(data)) = (row["type"].as_str().unwrap_or(""), row["data"].as_object()) {
            all.extend(data.clone());
        }
    }
    Value::Object(all)
}

/// `{load}` is the load's path.
fn holds(script: &str, wanted: &[(&str, u64)]) {
    let Some(path) = load() else { return };
    let maps = maps(&script.replace("{load}", path), &[]);
    for (map, count) in wanted {
        let (map, key) = map.split_once('[').unwrap_or((map, ""));
        let value = match key.trim_end_matches(']').replace("{load}", path) {
            key if key.is_empty() => &maps[map],
            key => &maps[map][key],
        };
        assert_eq!(value.as_u64(), Some(*count), "{script}: {map} in {maps}");
    }
}

#[test]
fn tracepoints() {
    holds(
        "tracepoint:syscalls:sys_enter_getppid /pid == cpid/ { @ = count(); }",
        &[("@", N)],
    );
    holds(
        "rawtracepoint:sys_enter /pid == cpid/ { if (arg1 == 110) { @ = count(); } }",
        &[("@", N)],
    );
}

#[test]
fn wildcards_share_a_program_that_knows_its_place() {
    holds(
        "tracepoint:syscalls:sys_enter_getp*id /pid == cpid/ { @ = count(); @p[probe] = count(); }",
        &[
            ("@", 2 * N),
            ("@p[tracepoint:syscalls:sys_enter_getppid]", N),
            ("@p[tracepoint:syscalls:sys_enter_getpgid]", N),
        ],
    );
    holds(
        "tracepoint:syscalls:sys_enter_getp*id /pid == cpid/ { @ = count(); }",
        &[("@", 2 * N)],
    );
    holds(
        "uprobe:{load}:work_* /pid == cpid/ { @[probe] = count(); }",
        &[
            ("@[uprobe:{load}:work_first]", N),
            ("@[uprobe:{load}:work_second]", N),
        ],
    );
}

#[test]
fn functions_of_programs() {
    holds(
        "uprobe:{load}:work_first /pid == cpid/ { @ = count(); @s = sum(arg1); } uretprobe:{load}:work_first /pid == cpid/ { @m = max(retval); }",
        &[("@", N), ("@s", N), ("@m", N)],
    );
}

#[test]
fn an_address_is_one_of_the_program_not_of_its_file() {
    let Some(path) = load() else { return };
    let symbols = Command::new("nm").arg(path).output();
    let Ok(symbols) = symbols else { return };
    let text = String::from_utf8_lossy(&symbols.stdout).into_owned();
    let line = text.lines().find(|l| l.ends_with(" work_first")).unwrap();
    let address = line.split(' ').next().unwrap();
    holds(
        &format!("uprobe:{{load}}:0x{address} /pid == cpid/ {{ @ = count(); }}"),
        &[("@", N)],
    );
}

#[test]
fn a_static_probe_with_a_semaphore_is_switched_on() {
    holds(
        "usdt:{load}:load:site /pid == cpid/ { @ = count(); @m = max(arg0); }",
        &[("@", N), ("@m", N - 1)],
    );
}

#[test]
fn files_may_be_told_by_wildcards() {
    let Some(path) = load() else { return };
    let cut = &path[..path.len() - 1];
    for (script, wanted) in [
        (
            format!("uprobe:{cut}?:work_f* /pid == cpid/ {{ @ = count(); }}"),
            N,
        ),
        (
            format!("usdt:{cut}*:load:site /pid == cpid/ {{ @ = count(); }}"),
            N,
        ),
        // Of all files that are run, and of that of the command.
        ("usdt:*:load:site /pid == cpid/ { @ = count(); }".into(), N),
    ] {
        holds(&script, &[("@", wanted)]);
    }
    for script in ["usdt:/none/*:x { }", "uprobe:/*/no-such-file*:x { }"] {
        let done = probity(&["--dry-run", "-e", script]);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(said.contains("no program or library matches"), "{said}");
    }
}

#[test]
fn two_signals_at_once_end_a_script_in_order() {
    if load().is_none() {
        return;
    }
    // `timeout` sends one to the process and one to its group.
    let script = "interval:s:100 { @ = 1; } end { printf(\"ended\\n\"); }";
    let mut running = common::Running::start(&["trace", "-e", script], Some("Attached"));
    let pid = running.child.id() as i32;
    // SAFETY: the child is ours and not waited for yet.
    unsafe {
        libc::kill(pid, libc::SIGINT);
        libc::kill(pid, libc::SIGINT);
        libc::kill(pid, libc::SIGTERM);
    }
    let mut said = String::new();
    let out = running.child.stdout.as_mut().unwrap();
    std::io::Read::read_to_string(out, &mut said).unwrap();
    assert!(running.child.wait().unwrap().success());
    assert!(said.starts_with("ended\n"), "{said}");
}

#[test]
fn a_process_is_named_by_its_number() {
    if load().is_none() {
        return;
    }
    let pid = std::process::id();
    let name = std::fs::read_to_string("/proc/self/comm").unwrap();
    let script = format!("begin {{ printf(\"%s %s\\n\", comm({pid}), comm(4194304)); }}");
    let done = probity(&["-e", &script]);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(said.trim_end(), format!("{} 4194304", name.trim_end()));
}

/// The stacks that a script collects in `@`, each as the names of its functions, beside a program.
fn stacks(script: &str, command: &str) -> Vec<(Vec<String>, u64)> {
    let done = probity(&["-q", "-f", "json", "-c", command, "-e", script]);
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{script}: {errors}");
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let row: Value = serde_json::from_str(text.lines().last().unwrap_or("null")).unwrap();
    let name = |line: &str| line.split('+').next().unwrap_or("").trim().to_owned();
    let names = |key: &String| key.lines().map(name).filter(|l| !l.is_empty()).collect();
    let all = row["data"]["@"]
        .as_object()
        .unwrap_or_else(|| panic!("{text}{errors}"));
    all.iter()
        .map(|(k, v)| (names(k), v.as_u64().unwrap()))
        .collect()
}

#[test]
fn user_stacks_need_no_frame_pointers() {
    let Some(path) = load() else { return };
    let script = format!("uprobe:{path}:work_first /pid == cpid/ {{ @[dw_ustack] = count(); }}");
    let found = stacks(&script, &format!("{path} {N}"));
    let [(names, count)] = &found[..] else {
        panic!("one way leads there: {found:?}")
    };
    assert_eq!(*count, N);
    assert_eq!(names[..2], ["work_first", "main"]);
    assert_eq!(names.last().map(String::as_str), Some("_start"));
    // So many frames and no more.
    let script = script.replace("dw_ustack", "dw_ustack(2)");
    let found = stacks(&script, &format!("{path} {N}"));
    assert_eq!(found, [(vec!["work_first".into(), "main".into()], N)]);
}

/// A program of the tests, built from its text.
fn built(name: &str, text: &str, flags: &[&str]) -> String {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (program, source) = (directory.join(name), directory.join(format!("{name}.c")));
    std::fs::write(&source, text).unwrap();
    let done = Command::new("cc")
        .args(flags)
        .arg("-o")
        .args([&program, &source])
        .status();
    assert!(done.is_ok_and(|s| s.success()), "{name}");
    program.display().to_string()
}

#[test]
fn a_function_in_pieces_is_named_from_its_beginning() {
    if load().is_none() {
        return;
    }
    // What is rare stands apart from the rest, so that debug information has ranges for it and no address.
    let text = "#include <stdlib.h>
__attribute__((noinline, cold)) void rare(int n) { __asm__ volatile(\"\" ::\"r\"(n)); }
__attribute__((noinline, noclone)) void leaf(void) { __asm__ volatile(\"\"); }
__attribute__((noinline, noclone)) int split(int n) {
    if (n > 1000) { rare(n); rare(n + 1); rare(n * 3); leaf(); exit(3); }
    leaf();
    return n + 1;
}
int main(int argc, char **argv) { return (argc > 1 ? split(5000) : split(argc)) == 0; }";
    let path = built("pieces", text, &["-O2", "-g"]);
    let script = format!("uprobe:{path}:leaf /pid == cpid/ {{ @[dw_ustack(2)] = count(); }}");
    for (command, wanted) in [(path.clone(), "split+"), (format!("{path} x"), "split")] {
        let done = probity(&["-q", "-c", &command, "-e", &script]);
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let caller = text.lines().map(str::trim).find(|l| l.starts_with(wanted));
        let caller = caller.unwrap_or_else(|| panic!("{text}"));
        let offset = caller.rsplit('+').next().and_then(|n| n.parse().ok());
        // The function has some dozens of bytes; its program some thousands.
        assert!(offset.is_some_and(|n: u64| n < 200), "{text}");
    }
    // Its arguments are known all the same.
    let script = format!("uprobe:{path}:split /pid == cpid/ {{ printf(\"%d\\n\", args.n); }}");
    let done = probity(&["-q", "-c", &format!("{path} x"), "-e", &script]);
    assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), "5000");
}

#[test]
fn stacks_are_told_apart_by_what_is_kept_of_them() {
    let Some(path) = load() else { return };
    // Two ways to one function: one stack of one frame, two of two.
    let text = "__attribute__((noinline)) void leaf(void) { __asm__ volatile(\"\"); }
__attribute__((noinline)) void one(void) { leaf(); __asm__ volatile(\"\"); }
__attribute__((noinline)) void other(void) { leaf(); __asm__ volatile(\"\"); }
int main(int argc, char **argv) { for (int i = 0; i <= argc; i++) { one(); other(); } return argv == 0; }";
    let flags = [
        "-O1",
        "-fno-omit-frame-pointer",
        "-mno-omit-leaf-frame-pointer",
    ];
    let program = built("ways", text, &flags);
    let counts = |stack: &str, path: &str, function: &str| {
        let script = format!(
            "uprobe:{path}:{function} /pid == cpid/ {{ @[{stack}] = count(); @all = count(); }} end {{ printf(\"%d %d\\n\", len(@), @all); clear(@); clear(@all); }}"
        );
        let done = probity(&["-q", "-c", path.split(' ').next().unwrap(), "-e", &script]);
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        said.trim().to_owned()
    };
    for stack in ["ustack", "dw_ustack"] {
        assert_eq!(counts(&format!("{stack}(1)"), &program, "leaf"), "1 4");
        assert_eq!(counts(&format!("{stack}(2)"), &program, "leaf"), "2 4");
    }
    // And how many frames there are is what was asked for.
    let script = format!(
        "uprobe:{path}:work_first /pid == cpid/ {{ @two = max(len(dw_ustack(2))); @all = min(len(dw_ustack)); }}"
    );
    let maps = maps(&script, &[]);
    assert_eq!(maps["@two"], 2);
    assert!(maps["@all"].as_u64().is_some_and(|n| n > 2), "{maps}");
}

#[test]
fn names_of_files_are_followed_up_to_the_root() {
    if load().is_none() {
        return;
    }
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("up/to/here");
    std::fs::create_dir_all(&directory).unwrap();
    let directory = directory.canonicalize().unwrap().display().to_string();
    // tmpfs is mounted somewhere: what is below it has a name that goes on above it.
    let mounted = "/dev/shm/probity-names";
    std::fs::create_dir_all(mounted).unwrap();
    let script = "tracepoint:syscalls:sys_enter_openat /comm == \"cat\"/ { printf(\"%s|%s\\n\", abs_path(str(args.filename)), cwd()); }";
    for place in [directory.as_str(), mounted, "/"] {
        let command =
            format!("sh -c 'cd {place}; exec cat no-such-file ./other /no/such 2> /dev/null'");
        let done = probity(&["-q", "-c", &command, "-e", script]);
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let below = place.trim_end_matches('/');
        for wanted in [
            format!("{below}/no-such-file|{place}"),
            format!("{below}/./other|{place}"),
            format!("/no/such|{place}"),
        ] {
            assert!(text.lines().any(|l| l == wanted), "no {wanted}: {text}");
        }
    }
    std::fs::remove_dir(mounted).unwrap();
}

#[test]
fn stacks_go_through_libraries_and_signals() {
    if load().is_none() {
        return;
    }
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("frames");
    let built = Command::new("cc")
        .args(["-O2", "-g", "-fno-optimize-sibling-calls", "-o"])
        .arg(&program)
        .arg(root().join("tests/vm/frames.c"))
        .status();
    assert!(built.is_ok_and(|s| s.success()));
    let path = program.display().to_string();
    let script = format!("uprobe:{path}:leaf /pid == cpid/ {{ @[dw_ustack] = count(); }}");
    let found = stacks(&script, &path);
    let way = |over: &str| {
        let mut through = found
            .iter()
            .filter(|(names, _)| names.get(1).is_some_and(|n| n == over));
        let (names, count) = through
            .next()
            .unwrap_or_else(|| panic!("{over}: {found:?}"));
        assert_eq!((names[0].as_str(), *count), ("leaf", 1), "{found:?}");
        assert_eq!(
            names.last().map(String::as_str),
            Some("_start"),
            "{found:?}"
        );
        assert!(names.contains(&"main".to_owned()), "{found:?}");
        names.clone()
    };
    assert!(
        way("compare").iter().any(|n| n.contains("qsort")),
        "{found:?}"
    );
    assert!(
        way("on_signal")
            .iter()
            .any(|n| n.contains("raise") || n.contains("kill")),
        "{found:?}"
    );
    assert_eq!(way("of_any_size")[2], "main");
    assert_eq!(way("deep").iter().filter(|n| *n == "deep").count(), 21);
}

/// What `probity attach` says of an object that a script became, beside a load of its own: `{load}`.
fn attached(name: &str, script: &str) -> Vec<Value> {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = directory.join(name);
    std::fs::copy(load().unwrap(), &path).unwrap();
    let (path, object) = (path.display().to_string(), format!("{name}.o"));
    let object = directory.join(object).display().to_string();
    let done = probity(&["--emit", &object, "-e", &script.replace("{load}", &path)]);
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{errors}");
    let running = common::Running::start(&["attach", "--json", &object], Some("Attached"));
    let ran = Command::new(&path).arg(N.to_string()).status();
    assert!(ran.is_ok_and(|s| s.success()));
    let said = running.interrupt();
    let rows = said.lines().map(|l| serde_json::from_str(l).unwrap());
    rows.collect()
}

/// The one number of a map that has a value for each processor.
fn number_in(rows: &[Value], map: &str) -> u64 {
    fn sum(value: &Value) -> u64 {
        match value {
            Value::Array(all) => all.iter().map(sum).sum(),
            Value::Object(all) => all.get("value").map_or(0, sum),
            other => other.as_u64().unwrap_or(0),
        }
    }
    let row = rows.iter().find(|r| r["map"] == map).expect("the map");
    sum(&row["data"])
}

#[test]
fn an_object_of_an_address_is_attached_there() {
    let Some(path) = load() else { return };
    let symbols = Command::new("nm").arg(path).output().unwrap().stdout;
    let symbols = String::from_utf8_lossy(&symbols).into_owned();
    let line = symbols.lines().find(|l| l.ends_with(" work_first"));
    let address = line.unwrap().split(' ').next().unwrap();
    let script = format!("uprobe:{{load}}:0x{address} {{ @n = sum(1); }}");
    let rows = attached("by-address", &script);
    assert_eq!(number_in(&rows, "AT_n"), N, "{rows:?}");
}

#[test]
fn an_object_of_a_static_probe_switches_it_on() {
    if load().is_none() {
        return;
    }
    let rows = attached("by-probe", "usdt:{load}:load:site { @n = sum(1); }");
    assert_eq!(number_in(&rows, "AT_n"), N, "{rows:?}");
}

#[test]
fn page_faults_are_counted_each() {
    let Some(_) = load() else { return };
    let maps = maps("software:page-faults:1 /pid == cpid/ { @ = count(); }", &[]);
    assert!(maps["@"].as_u64() >= Some(N), "{maps}");
}

#[test]
fn an_iterator_walks_once_over_each() {
    let Some(_) = load() else { return };
    let me = std::process::id();
    let script = format!("iter:task {{ if (ctx->task->pid == {me}) {{ @ = count(); }} }}");
    let done = probity(&["-e", &script]);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        text.contains("@: 1\n"),
        "{text}{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn costs_are_told_by_probe() {
    let Some(path) = load() else { return };
    let command = format!("{path} {N}");
    let script = "tracepoint:syscalls:sys_enter_getppid /pid == cpid/ { @ = count(); }";
    let done = probity(&["--stats", "-f", "json", "-c", &command, "-e", script]);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let row = text
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap())
        .find(|r| r["type"] == "probe_stats");
    let row = row.unwrap_or_else(|| panic!("{text}"));
    let stats = &row["data"][0];
    assert!(stats["runs"].as_u64() >= Some(N), "{row}");
    assert!(stats["nanoseconds"].as_u64() > Some(0), "{row}");
}

#[test]
fn filters_let_only_their_own_through() {
    let Some(_) = load() else { return };
    let script = "tracepoint:syscalls:sys_enter_getppid { @ = count(); }";
    // Of our own namespace the load is one.
    let all = maps(script, &["--pidns", "/proc/self/ns/pid"]);
    assert!(all["@"].as_u64() >= Some(N), "{all}");
    // Nothing of ours is process 2, the kernel's own.
    let none = maps(script, &["-p", "2"]);
    assert_ne!(none["@"].as_u64(), Some(N), "{none}");
}

#[test]
fn every_record_is_printed_or_counted_as_lost() {
    let Some(path) = load() else { return };
    const CALLS: u64 = 50_000;
    let command = format!("{path} {CALLS}");
    let script = "tracepoint:syscalls:sys_enter_getppid /pid == cpid/ { printf(\"%d %s %llu\\n\", pid, comm, nsecs); }";
    let done = probity(&["-f", "json", "-c", &command, "-e", script]);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let (mut printed, mut lost) = (0, 0);
    for row in text.lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        match row["type"].as_str() {
            Some("printf") => printed += 1,
            Some("lost_events") => lost += row["data"]["events"].as_u64().unwrap(),
            _ => {}
        }
    }
    assert_eq!(printed + lost, CALLS, "{printed} printed, {lost} lost");
}

#[test]
fn arguments_are_named_and_typed_by_debug_information() {
    holds(
        "uprobe:{load}:work_first /pid == cpid/ { @ = sum(args.a); @b = sum(args.b); @r[args] = count(); }",
        &[("@", N * (N - 1) / 2), ("@b", N)],
    );
    let Some(path) = load() else { return };
    let done = probity(&[
        "--dry-run",
        "-e",
        &format!("uprobe:{path}:work_first {{ print(args.c); }}"),
    ]);
    assert!(!done.status.success());
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.contains("no argument `c`"), "{said}");
}

#[test]
fn a_source_line_is_a_place() {
    let source = std::fs::read_to_string(root().join("tests/vm/load.c")).unwrap();
    let line = source.lines().position(|l| l.contains("return a * 2;"));
    let line = line.unwrap() + 1;
    holds(
        &format!("uprobe:{{load}}@load.c:{line} /pid == cpid/ {{ @ = count(); }}"),
        &[("@", N)],
    );
}

#[test]
fn args_are_a_record_of_all_fields() {
    let Some(_) = load() else { return };
    let maps = maps(
        "tracepoint:syscalls:sys_enter_getpgid /pid == cpid/ { @[args] = count(); }",
        &[],
    );
    let entries = maps["@"].as_object().unwrap();
    let (key, count) = entries.iter().next().unwrap();
    assert_eq!((entries.len(), count.as_u64()), (1, Some(N)), "{maps}");
    assert!(
        key.contains("__syscall_nr") && key.contains("pid"),
        "{maps}"
    );
}

/// How many processes of the command have lost their parent: they close what the kernel is long in closing.
fn left_behind() -> usize {
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|p| std::fs::read_to_string(p.path().join("stat")).ok());
    let leads = |s: &String| {
        let (name, rest) = s.split_once(" (")?.1.rsplit_once(") ")?;
        let session = rest.split(' ').nth(3)?;
        Some(name == "probity" && s.starts_with(&format!("{session} (")))
    };
    stats.filter(|s| leads(s) == Some(true)).count()
}

#[test]
fn hundreds_of_tracepoints_count_and_are_let_go_at_once() {
    let Some(path) = load() else { return };
    let command = format!("{path} {N}");
    let script = "tracepoint:syscalls:sys_enter_* /pid == cpid/ { @[probe] = count(); } end { printf(\"%d\\n\", len(@)); }";
    let done = probity(&["-c", &command, "-e", script]);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    for call in ["getppid", "getpgid", "getsid"] {
        let line = format!("@[tracepoint:syscalls:sys_enter_{call}]: {N}\n");
        assert!(text.contains(&line), "{text}");
    }
    // The kernel takes 40 ms to let go of each: whoever does that is still at it, and it is not the command.
    assert!(left_behind() > 0, "it waited for the kernel itself");
}

/// The unified hierarchy of control groups, where there is one to write to.
fn unified() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    let mut words = mounts.lines().map(|l| l.split(' ').collect::<Vec<_>>());
    let mount = words.find(|w| w.get(2) == Some(&"cgroup2"))?;
    Some(PathBuf::from(mount.get(1)?))
}

#[test]
fn a_control_group_is_told_from_others() {
    let Some(path) = load() else { return };
    let Some(groups) = unified() else {
        return println!("skipped: no unified hierarchy of control groups");
    };
    let group = groups.join(format!("probity-test-{}", std::process::id()));
    if std::fs::create_dir(&group).is_err() {
        return println!("skipped: control groups cannot be made here");
    }
    let procs = group.join("cgroup.procs");
    // One load outside of the group and one in it.
    let command = format!(
        "sh -c '{path} {N}; echo $$ > {}; exec {path} {N}'",
        procs.display()
    );
    let script = "tracepoint:syscalls:sys_enter_getppid /comm == \"load\"/ { @ = count(); }";
    let directory = group.display().to_string();
    let args = [
        "-f", "json", "--cgroup", &directory, "-c", &command, "-e", script,
    ];
    let done = probity(&args);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let _ = std::fs::remove_dir(&group);
    let row = text
        .lines()
        .filter_map(|l| serde_json::from_str::<Value>(l).ok())
        .find(|r| r["type"] == "map");
    let row = row.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&done.stderr)));
    assert_eq!(row["data"]["@"].as_u64(), Some(N), "{row}");
}

#[test]
fn a_namespace_of_processes_is_told_from_others() {
    let Some(path) = load() else { return };
    // By a name of its own: other tests run the load too.
    let own = format!("{path}-ns");
    std::fs::copy(path, &own).unwrap();
    let path = own;
    // One load in our namespace, one in a namespace of its own.
    let command = format!("sh -c '{path} {N}; unshare --pid --fork {path} {N}'");
    let script = "tracepoint:syscalls:sys_enter_getppid /comm == \"load-ns\"/ { @ = count(); }";
    for (more, wanted) in [(&["--pidns", "/proc/self/ns/pid"][..], N), (&[], 2 * N)] {
        let args = [more, &["-f", "json", "-c", &command, "-e", script]].concat();
        let done = probity(&args);
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let row = text
            .lines()
            .filter_map(|l| serde_json::from_str::<Value>(l).ok())
            .find(|r| r["type"] == "map");
        let row = row.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&done.stderr)));
        assert_eq!(row["data"]["@"].as_u64(), Some(wanted), "{more:?} {row}");
    }
}

#[test]
fn a_counter_that_the_processor_lacks_is_refused_by_name() {
    let Some(_) = load() else { return };
    let counters = std::path::Path::new("/sys/bus/event_source/devices/cpu");
    let script = "hardware:instructions:100000 { @ = count(); }";
    let done = probity(&["--duration", "1s", "-e", script]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    match counters.exists() {
        true => assert!(text.contains("@: "), "{text}{said}"),
        false => assert!(said.contains("this machine has no such event"), "{said}"),
    }
}

#[test]
fn a_signal_to_the_tracer_runs_a_probe() {
    let Some(_) = load() else { return };
    let script = "self:signal:SIGUSR2 { printf(\"it came\\n\"); exit(); }";
    let command = "sh -c 'kill -USR2 $PPID; sleep 5'";
    let done = probity(&["-c", command, "-e", script]);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        text.contains("it came"),
        "{text}{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn packets_are_written_into_a_capture_file() {
    let Some(_) = load() else { return };
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("packets.pcap");
    let _ = std::fs::remove_file(&file);
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = receiver.local_addr().unwrap().port();
    // The packet's bytes from its IP header on: 20, then the ports.
    let script = format!(
        "rawtracepoint:netif_receive_skb {{ $s = (struct sk_buff *)arg0; \
         if bswap(*(uint16 *)($s->data + 22)) == {port} {{ $r = skboutput(\"{}\", $s, 40, 0); @[$r] = count(); }} }}",
        file.display()
    );
    let tracer = common::Running::start(&["trace", "-e", &script], Some("Attached"));
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 0..N {
        let text = format!("packet {n:03} of them, and more that is left out");
        sender
            .send_to(text.as_bytes(), ("127.0.0.1", port))
            .unwrap();
        let mut received = [0; 64];
        receiver.recv(&mut received).unwrap();
    }
    let out = tracer.interrupt();
    assert!(out.contains(&format!("@[0]: {N}\n")), "{out}");
    let bytes = std::fs::read(&file).unwrap();
    // Big-endian: the magic of nanoseconds, and raw IP.
    assert_eq!(
        (&bytes[..4], &bytes[20..24]),
        (&[0xa1, 0xb2, 0x3c, 0x4d][..], &[0, 0, 0, 101][..])
    );
    let packets: Vec<&[u8]> = bytes[24..].chunks(16 + 40).collect();
    assert_eq!(packets.len() as u64, N);
    for (n, packet) in packets.iter().enumerate() {
        let number = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
        // Kept, and how long it was: two headers and the text.
        assert_eq!((number(8), number(12)), (40, 20 + 8 + 45), "{n}");
        assert_eq!(&packet[16 + 28..], format!("packet {n:03} o").as_bytes());
    }
}

/// What the watchpoint's test writes to.
static WATCHED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

#[test]
fn a_watchpoint_is_let_go() {
    let Some(_) = load() else { return };
    let (at, me) = (WATCHED.as_ptr() as usize, std::process::id());
    let script =
        format!("watchpoint:{at:#x}:4:w /pid == {me}/ {{ @ = count(); unwatch({at:#x}); }}");
    let tracer = common::Running::start(&["trace", "-e", &script], Some("Attached"));
    let events = || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", tracer.child.id())).unwrap();
        let names = open.flatten().filter_map(|f| f.path().read_link().ok());
        names
            .filter(|n| n.to_string_lossy().contains("perf_event"))
            .count()
    };
    assert!(events() > 0);
    WATCHED.store(1, std::sync::atomic::Ordering::SeqCst);
    while events() > 0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for n in 0..N as u32 {
        WATCHED.store(n, std::sync::atomic::Ordering::SeqCst);
    }
    let out = tracer.interrupt();
    assert!(out.contains("@: 1\n"), "{out}");
}

#[test]
fn a_recording_of_hundreds_of_tracepoints_ends_at_once() {
    let Some(path) = load() else { return };
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("hundreds.data");
    let script = "tracepoint:syscalls:sys_enter_* /comm == \"load\"/ { @[probe] = count(); }";
    let done = Command::new(env!("CARGO_BIN_EXE_probity"))
        .args(["record", "-e", script, "-c", &format!("{path} {N}"), "-o"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    assert!(left_behind() > 0, "it waited for the kernel itself");
    let replayed = probity(&["-q", "--replay", &file.display().to_string(), "-e", script]);
    let text = String::from_utf8_lossy(&replayed.stdout).into_owned();
    let said = String::from_utf8_lossy(&replayed.stderr).into_owned();
    let total: u64 = text
        .lines()
        .filter(|l| l.contains("sys_enter_getppid]") || l.contains("sys_enter_getsid]"))
        .filter_map(|l| l.rsplit(' ').next()?.parse::<u64>().ok())
        .sum();
    assert_eq!(total, 2 * N, "{text}{said}");
}

#[test]
fn a_recording_of_perfs_has_names_for_its_stacks() {
    let Some(path) = load() else { return };
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (file, program) = (directory.join("stacks.data"), directory.join("stacks"));
    std::fs::copy(path, &program).unwrap();
    let recorded = Command::new("perf")
        .args(["record", "-q", "-g", "-k", "CLOCK_MONOTONIC", "-e"])
        .args(["syscalls:sys_enter_getppid", "-o"])
        .arg(&file)
        .arg(&program)
        .arg(N.to_string())
        .output();
    if !recorded.is_ok_and(|r| r.status.success()) {
        println!("skipped: perf cannot record here");
        return;
    }
    let script = "tracepoint:syscalls:sys_enter_getppid { @[ustack] = count(); }";
    let replay = || {
        let done = probity(&["-q", "--replay", &file.display().to_string(), "-e", script]);
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    let text = replay();
    assert!(
        text.contains("syscall+") && text.contains(&format!("]: {N}\n")),
        "{text}"
    );
    // The kernel that was recorded runs: its own functions have names.
    let kernel = directory.join("kernel.data");
    let recorded = Command::new("perf")
        .args(["record", "-q", "-a", "-g", "-k", "CLOCK_MONOTONIC", "-e"])
        .args(["sched:sched_switch", "-o"])
        .arg(&kernel)
        .args(["--", "sleep", "0.2"])
        .output();
    assert!(recorded.is_ok_and(|r| r.status.success()));
    let script = "tracepoint:sched:sched_switch { @[kstack(4)] = count(); @all = count(); }";
    let kernel = kernel.display().to_string();
    let replayed = || {
        let done = probity(&["-q", "--replay", &kernel, "-e", script]);
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    let text = replayed();
    assert!(text.contains("schedule+"), "{text}");
    assert_eq!(replayed(), text);
    // Another file in its place has other names.
    std::fs::copy("/bin/true", &program).unwrap();
    let text = replay();
    assert!(
        !text.contains("syscall+") && text.contains(&format!("]: {N}\n")),
        "{text}"
    );
}
