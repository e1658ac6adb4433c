//! What was recorded here, replayed: as much of everything as there was.

use std::path::PathBuf;
use std::process::Command;

use crate::{N, left_behind, load, probity};

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
