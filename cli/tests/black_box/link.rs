//! `probity link`: the linked programs do what their parts say, in process and in Linux, as with libbpf's linker.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::live;
use crate::{Scratch, probity, programs};

fn part(name: &str) -> PathBuf {
    programs("../objfile/tests/data/link").join(format!("{name}.bpf.o"))
}

/// What the sources say, with the numbers written out there.
#[track_caller]
fn behaves(object: &Path) {
    for (program, expected) in [("first", 7 + 105 + 10 + 20), ("second", 7 + 11 + 201)] {
        for engine in ["interp", "jit"] {
            let done = probity![
                "run",
                "--json",
                object,
                "--program",
                program,
                "--engine",
                engine,
                "--ctx",
                "0000000000000000"
            ]
            .run()
            .ok();
            assert_eq!(
                done.json_lines()[0]["return"],
                expected,
                "{program}: {done}"
            );
        }
    }
}

#[test]
fn the_linked_programs_do_what_their_parts_say() {
    let scratch = Scratch::new();
    for order in [["first", "second"], ["second", "first"]] {
        let to = scratch.path("c.o");
        let [a, b] = order.map(part);
        let done = probity!["link", "--json", a, b, "-o", &to].run().ok();
        let row = &done.json_lines()[0];
        assert_eq!(row["programs"].as_array().unwrap().len(), 2);
        assert_eq!(row["unresolved"], serde_json::json!([]));
        probity!["verify", &to].run().ok();
        behaves(&to);
    }
    // Step by step.
    let (half, whole) = (scratch.path("half.o"), scratch.path("whole.o"));
    probity!["link", part("first"), "-o", &half]
        .run()
        .ok()
        .says(&["no object defines `weigh`", "no object defines `total`"]);
    probity!["verify", &half]
        .run()
        .fails(&["another object defines it"]);
    probity!["link", &half, part("second"), "-o", &whole]
        .run()
        .ok();
    behaves(&whole);
}

#[test]
fn clashes_are_named() {
    let scratch = Scratch::new();
    let to = scratch.path("c.o");
    let done = probity!["link", part("first"), part("clash"), "-o", &to]
        .run()
        .fails(&[
            "`counts`",
            "max_entries",
            "`only_first`",
            "`weigh`",
            "int weigh(int)",
            "first.bpf.o",
            "clash.bpf.o",
        ]);
    assert_eq!(done.stderr.lines().count(), 4, "{done}");
    assert!(!to.exists());
    probity!["link", part("first")].run().misused(&["--output"]);
    let bad = scratch.file("bad.o", "nothing");
    probity!["link", part("first"), bad, "-o", &to]
        .run()
        .fails(&["bad.o", "not an ELF"]);
}

/// Linux loads what we link; and what libbpf links does the same here.
#[test]
fn linux_takes_it_and_libbpf_links_alike() {
    if !live() || Command::new("bpftool").arg("version").output().is_err() {
        println!("skipped: needs bpftool");
        return;
    }
    let scratch = Scratch::new();
    let (ours, theirs) = (scratch.path("ours.o"), scratch.path("theirs.o"));
    probity!["link", part("first"), part("second"), "-o", &ours]
        .run()
        .ok();
    let done = Command::new("bpftool")
        .args(["gen", "object"])
        .args([&theirs, &part("first"), &part("second")])
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    behaves(&ours);
    behaves(&theirs);
    let pinned = PathBuf::from(format!("/sys/fs/bpf/probity-test-{}", std::process::id()));
    if !Path::new("/sys/fs/bpf").join(".").exists() {
        return;
    }
    let done = Command::new("bpftool")
        .args(["prog", "loadall"])
        .args([&ours, &pinned])
        .output()
        .unwrap();
    let there = ["first", "second"].map(|name| pinned.join(name).exists());
    let _ = std::fs::remove_dir_all(&pinned);
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() || said.contains("bpffs"), "{said}");
    assert!(there == [true, true] || said.contains("bpffs"), "{said}");
}

/// The linked objects of the kernel's selftests, where `PROBITY_SELFTESTS` names a directory of built ones: what we link of them is
/// accepted here and does what it does as libbpf links it.
#[test]
fn selftests_that_are_linked_behave_as_libbpf_links_them() {
    let Some(dir) = std::env::var_os("PROBITY_SELFTESTS").map(PathBuf::from) else {
        println!("skipped: PROBITY_SELFTESTS names no directory of selftests");
        return;
    };
    let scratch = Scratch::new();
    let mut compared = 0;
    for name in [
        "linked_funcs",
        "linked_maps",
        "linked_vars",
        "test_static_linked",
    ] {
        let parts = [1, 2].map(|n| dir.join(format!("{name}{n}.bpf.o")));
        let (ours, theirs) = (
            scratch.path(&format!("{name}.ours.o")),
            scratch.path(&format!("{name}.theirs.o")),
        );
        let done = probity!["link", "--json", &parts[0], &parts[1], "-o", &ours]
            .run()
            .ok();
        let programs = done.json_lines()[0]["programs"].clone();
        let programs: Vec<&str> = programs
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p.as_str().unwrap())
            .collect();
        assert!(programs.len() >= 2, "{done}");
        probity!["verify", &ours].run().ok();
        let linked = Command::new("bpftool")
            .args(["gen", "object"])
            .arg(&theirs)
            .args(&parts)
            .output();
        if linked.is_err() {
            println!("not compared: no bpftool");
            continue;
        }
        probity!["verify", &theirs].run().ok();
        for program in programs {
            let run = |object: &Path| {
                let done = probity!["run", "--json", object, "--program", program].run();
                let mut row = match done.code {
                    0 => done.json_lines().remove(0),
                    // Without a meaning in process, for the same reason.
                    _ => return serde_json::json!(done.stderr),
                };
                row["ns_per_run"] = serde_json::Value::Null;
                row
            };
            assert_eq!(run(&ours), run(&theirs), "{name} {program}");
            compared += 1;
        }
    }
    println!("{compared} programs compared");
}
