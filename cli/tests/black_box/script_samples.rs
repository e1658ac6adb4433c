//! `programs/scripts`: each over its recording prints its sample, byte for byte, on both engines, without root;
//! what a recording cannot answer is said once; scripts' own tests run in process.

use crate::process::{Scratch, probity, programs};

/// Scripts with the recording that each is replayed over.
const SAMPLES: &[(&str, &str)] = &[
    ("block-latency", "block-latency"),
    ("exec-snoop", "exec-snoop"),
    ("flame", "flame"),
    ("limited-opens", "open-files"),
    ("memory-growth", "memory-growth"),
    ("off-cpu", "sched"),
    ("open-files", "open-files"),
    ("page-faults", "page-faults"),
    ("read-sizes", "files"),
    ("run-queue-latency", "run-queue-latency"),
    ("signals", "signals"),
    ("syscall-latency", "syscalls"),
    ("syscalls-by-process", "syscalls"),
    ("tcp-life", "tcp-life"),
];

fn replayed(script: &str, recording: &str, engine: &str, scratch: &Scratch) -> String {
    probity![
        "trace",
        "-q",
        "--engine",
        engine,
        "--replay",
        &programs(&format!("recordings/{recording}.perf.data")),
        &programs(&format!("scripts/{script}.bt"))
    ]
    .unprivileged(scratch)
    .run()
    .ok()
    .stdout
}

/// `PROBITY_WRITE_SAMPLES=1` writes them anew.
#[test]
fn scripts_print_their_samples() {
    let scratch = Scratch::new();
    for (script, recording) in SAMPLES {
        let path = programs(&format!("scripts/samples/{script}.txt"));
        let printed = replayed(script, recording, "jit", &scratch);
        if std::env::var_os("PROBITY_WRITE_SAMPLES").is_some() {
            std::fs::write(&path, &printed).expect("a sample");
        }
        let sample =
            std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(printed, sample, "{script} over {recording}");
        assert_eq!(
            replayed(script, recording, "interp", &scratch),
            sample,
            "{script}"
        );
    }
}

/// A script without a sample would be one that nobody has seen run.
#[test]
fn every_script_has_a_sample_or_needs_a_live_kernel() {
    const LIVE_ONLY: [&str; 3] = ["kernel-opens", "malloc", "profile"];
    let mut scripts: Vec<String> = std::fs::read_dir(programs("scripts"))
        .expect("programs/scripts")
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|x| x == "bt"))
        .filter_map(|p| Some(p.file_stem()?.to_str()?.to_string()))
        .collect();
    scripts.retain(|s| !LIVE_ONLY.contains(&s.as_str()));
    scripts.sort();
    let sampled: Vec<&str> = SAMPLES.iter().map(|(s, _)| *s).collect();
    assert_eq!(scripts, sampled);
}

/// perf's recordings have no strings and no users; that is said by name, once each, before anything else.
#[test]
fn what_a_recording_cannot_answer_is_said_once() {
    let done = probity![
        "trace",
        "--replay",
        &programs("recordings/files.perf.data"),
        "-e",
        "tracepoint:syscalls:sys_enter_openat { @[str(args.filename), uid] = count(); @u = uid; @k = kstack; }"
    ]
    .run()
    .ok();
    for word in ["`str(args.filename)`", "`uid`", "`kstack`"] {
        assert_eq!(done.stderr.matches(word).count(), 1, "{}", done.stderr);
    }
    let (said, attached) = (
        done.stderr.find("not in the recording"),
        done.stderr.find("Attached"),
    );
    assert!(said < attached, "{}", done.stderr);
    // A recording made for the script answers.
    let done = probity![
        "trace",
        "--replay",
        &programs("recordings/open-files.perf.data"),
        &programs("scripts/open-files.bt")
    ]
    .run()
    .ok();
    assert!(
        !done.stderr.contains("not in the recording"),
        "{}",
        done.stderr
    );
}

const TESTED: &str = "macro rounded(n) { (n + 512) / 1024 }
begin { @limit = 3; printf(\"unheard\\n\"); }
test:rounds { assert(rounded(1500) == 1, \"1500 bytes are 1 KB\"); }
test:limits { assert(@limit == 3, \"begin has run\"); @limit = 4; }
test:alone { assert(@limit == 3, \"maps are each test's own\"); }
tracepoint:nowhere:nothing { @[rounded(args.ret)] = count(); }
bench:rounds { @x = rounded(@limit); }
";

#[test]
fn tests_of_a_script_run_in_process() {
    let scratch = Scratch::new();
    let file = scratch.file("tested.bt", TESTED);
    for engine in ["jit", "interp"] {
        let done = probity!["trace", "--test", "--engine", engine, &file]
            .unprivileged(&scratch)
            .run()
            .ok();
        assert_eq!(
            done.stdout,
            "test rounds ... ok\ntest limits ... ok\ntest alone ... ok\n"
        );
        assert!(
            done.stderr.contains("3 passed, 0 failed"),
            "{}",
            done.stderr
        );
    }
    probity!["trace", "--bench", &file]
        .run()
        .ok()
        .prints(&["rounds", " ns\n"]);
}

#[test]
fn a_failing_test_is_shown_and_gives_status_1() {
    let done = probity![
        "trace",
        "--test",
        "-f",
        "json",
        "-e",
        "test:good { } test:bad { assert(1 == 2, \"one is two\"); } test:worse { errorf(\"no\"); } test:status { exit(3); }"
    ]
    .run();
    assert_eq!(done.code, 1, "{}", done.stderr);
    let rows = done.json_lines();
    let passed: Vec<bool> = rows.iter().map(|r| r["passed"] == true).collect();
    assert_eq!(passed, [true, false, false, false]);
    assert!(
        rows[1]["output"]
            .as_str()
            .is_some_and(|o| o.contains("one is two"))
    );
    assert_eq!(rows[3]["status"], 3);
    let none = probity!["trace", "--test", "-e", "begin { }"].run();
    assert_eq!(none.code, 1);
    assert!(none.stderr.contains("no `test:` probe"), "{}", none.stderr);
}
