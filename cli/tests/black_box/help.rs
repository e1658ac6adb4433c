//! What the command says of itself.

use std::process::{Command, Stdio};

use crate::{probity, programs};

const SUBCOMMANDS: &[&str] = &[
    "verify",
    "bench",
    "run",
    "trace",
    "attach",
    "asm",
    "dis",
    "btf",
    "dump",
    "helpers",
    "link",
    "pack",
    "sign",
    "inspect",
    "unpack",
    "key",
    "log",
    "hook",
    "ext",
    "boot",
    "completions",
];

#[test]
fn every_subcommand_explains_itself_with_examples() {
    let whole = probity!["--help"].run().ok();
    for name in SUBCOMMANDS {
        let listed = whole
            .stdout
            .lines()
            .any(|l| l.trim_start().starts_with(name));
        assert!(listed, "{name} is not in {whole}");
        let help = probity![name, "--help"].run().ok();
        assert!(help.stdout.contains("Examples:\n"), "{help}");
        assert!(
            help.stdout.contains(&format!("  probity {name} ")),
            "{help}"
        );
        assert!(help.stderr.is_empty(), "{help}");
    }
}

/// Every path that the examples name is there.
#[test]
fn examples_name_files_that_exist() {
    for name in SUBCOMMANDS {
        let help = probity![name, "--help"].run().ok();
        let words = help
            .stdout
            .split(|c: char| c.is_whitespace() || "'\"`".contains(c));
        for path in words.filter_map(|w| w.strip_prefix("programs/")) {
            if !path.contains('*') {
                assert!(
                    programs(path).exists(),
                    "{name}: programs/{path} is not there"
                );
            }
        }
    }
}

#[test]
fn wrong_usage_is_status_2() {
    probity![].run().misused(&["Usage:"]);
    probity!["frobnicate"]
        .run()
        .misused(&["frobnicate", "--help"]);
    probity!["verify"].run().misused(&["OBJECT"]);
    probity!["verify", "--frobnicate", "x.o"]
        .run()
        .misused(&["--frobnicate"]);
    probity!["run", "x.o", "--engine", "steam"]
        .run()
        .misused(&["steam", "interp"]);
    probity!["run", "x.o", "--repeat", "0"]
        .run()
        .misused(&["0"]);
    probity!["run", "x.o", "--repeat", "many"]
        .run()
        .misused(&["many"]);
    probity!["attach", "x.o", "--duration", "-1"]
        .run()
        .misused(&["-1"]);
    probity!["attach", "x.o", "--duration", "soon"]
        .run()
        .misused(&["soon"]);
    probity!["attach", "x.o", "--duration", "inf"]
        .run()
        .misused(&["inf"]);
    probity!["trace"].run().misused(&["-e"]);
    probity!["dump", "x.o", "--stage", "moon"]
        .run()
        .misused(&["moon", "object"]);
    probity!["completions", "noshell"]
        .run()
        .misused(&["noshell", "bash"]);
    probity!["run", "x.o", "--packets", "p", "--ctx", "00"]
        .run()
        .misused(&["--ctx"]);
}

#[test]
fn version() {
    let done = probity!["--version"].run().ok();
    assert_eq!(
        done.stdout,
        format!("probity {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let done = probity!["completions", shell].run().ok();
        for name in SUBCOMMANDS {
            assert!(done.stdout.contains(name), "{shell} knows no {name}");
        }
    }
}

#[test]
fn helpers_are_listed() {
    let all = probity!["helpers", "--json"].run().ok();
    let rows = all.json_lines();
    assert!(rows.len() > 200, "{} helpers", rows.len());
    for row in &rows {
        let keys: Vec<&str> = row
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            keys,
            [
                "id",
                "name",
                "prototype",
                "since",
                "gpl_only",
                "in_process",
                "prog_types"
            ]
        );
    }
    let lookup = rows
        .iter()
        .find(|r| r["name"] == "bpf_map_lookup_elem")
        .unwrap();
    assert_eq!(
        (&lookup["id"], &lookup["in_process"]),
        (&1.into(), &true.into())
    );

    let ring = probity!["helpers", "ringbuf"].run().ok();
    ring.prints(&["ringbuf_reserve", "ringbuf_output"]);
    // By number and by the name with and without its prefix.
    for one in ["6", "bpf_trace_printk", "trace_printk"] {
        let done = probity!["helpers", one, "--json"].run().ok();
        assert!(
            done.json_lines()
                .iter()
                .any(|r| r["name"] == "bpf_trace_printk"),
            "{done}"
        );
    }
    let xdp = probity!["helpers", "--prog-type", "xdp", "--json"]
        .run()
        .ok()
        .json_lines();
    assert!(xdp.iter().any(|r| r["name"] == "bpf_xdp_adjust_head"));
    assert!(!xdp.iter().any(|r| r["name"] == "bpf_skb_load_bytes"));
    let here = probity!["helpers", "--in-process", "--json"]
        .run()
        .ok()
        .json_lines();
    assert!(here.len() >= 30 && here.len() < rows.len());
    assert!(here.iter().all(|r| r["in_process"] == true));

    probity!["helpers", "no_such_helper"]
        .run()
        .fails(&["no_such_helper"]);
    probity!["helpers", "--prog-type", "xpd"]
        .run()
        .fails(&["xpd", "xdp"]);
}

/// `probity … | head -1` ends without a word.
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let object = programs("exec-snoop/exec-snoop.o");
    let object = object.to_str().unwrap();
    for args in [
        &["helpers"][..],
        &["helpers", "--json"],
        &["dis", object],
        &["btf", "dump", object],
        &["btf", "header", object],
        &["dump", "--stage", "states", object],
        &["completions", "bash"],
        &["--help"],
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_probity"))
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Closed before anything is read: every write fails.
        drop(child.stdout.take());
        let done = child.wait_with_output().unwrap();
        let message = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(message.is_empty(), "{args:?}: {message}");
        assert_eq!(done.status.code(), Some(0), "{args:?}");
    }
}
