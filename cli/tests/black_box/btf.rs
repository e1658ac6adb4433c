//! `probity btf` on the types of an object file and of the running kernel.

use crate::{Scratch, probity, programs};

#[test]
fn types_of_an_object() {
    let object = programs("exec-snoop/exec-snoop.o");
    let header = probity!["btf", "header", &object].run().ok();
    header.prints(&["struct event {", "char comm[16];", "char filename[64];"]);
    let one = probity!["btf", "header", "--type", "struct event", &object]
        .run()
        .ok();
    let one = one.prints(&["struct event {"]);
    assert!(!one.stdout.contains("struct task_struct {"), "{one}");
    let list = probity!["btf", "dump", &object].run().ok();
    assert!(
        list.stdout
            .lines()
            .any(|l| l.contains("'event'") || l.contains("event")),
        "{list}"
    );

    // u32 pid, ppid, uid, size; char comm[16]; char filename[64].
    let shown = probity!["btf", "show", "event", "--btf", &object]
        .run()
        .ok();
    let rows: Vec<Vec<&str>> = shown
        .stdout
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert!(rows[0].contains(&"96"), "{shown}");
    assert_eq!(rows[1][..2], ["0", "4"], "{shown}");
    assert_eq!(rows[5][..2], ["16", "16"], "{shown}");
    assert_eq!(rows[6][..2], ["32", "64"], "{shown}");
    let same = probity!["btf", "show", "struct event", "--btf", &object]
        .run()
        .ok();
    assert_eq!(same.stdout, shown.stdout);
    probity!["btf", "show", "evnt", "--btf", &object]
        .run()
        .fails(&["evnt", "event"]);
}

/// What is printed is C: the compiler says so, where there is one.
#[test]
fn a_header_compiles() {
    let Some(clang) = ["clang-22", "clang", "cc"].into_iter().find(|c| {
        std::process::Command::new(c)
            .arg("--version")
            .output()
            .is_ok_and(|o| o.status.success())
    }) else {
        println!("skipped: no C compiler");
        return;
    };
    let scratch = Scratch::new();
    let object = programs("exec-snoop/exec-snoop.o");
    let mut headers = vec![probity!["btf", "header", &object].run().ok().stdout];
    if std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
        headers.push(
            probity!["btf", "header", "--type", "struct task_struct"]
                .run()
                .ok()
                .stdout,
        );
    }
    for header in headers {
        let file = scratch.file("header.h", header);
        let done = std::process::Command::new(clang)
            .args(["-fsyntax-only", "-w", "-xc"])
            .arg(file)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}
