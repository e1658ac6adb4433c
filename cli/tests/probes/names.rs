//! Names that probes and their fields have: of files, processes, arguments, source lines.

use std::path::PathBuf;
use std::process::Command;

use crate::{N, holds, load, maps, probity, root};

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
