//! Stacks of the kernel and of programs: with and without frame pointers, told apart, named.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::{N, built, load, maps, probity, root};

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
