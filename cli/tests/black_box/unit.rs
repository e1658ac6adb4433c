//! The systemd unit: systemd takes it, and what it starts is a command of ours.

use std::process::Command;

use crate::{Scratch, probity, programs};

#[test]
fn systemd_takes_the_unit_and_its_command_is_ours() {
    let unit = programs("../dist/probity-boot.service");
    let text = std::fs::read_to_string(unit).unwrap();
    let start = text.lines().find_map(|l| l.strip_prefix("ExecStart="));
    let (program, args) = start.unwrap().split_once(' ').unwrap();
    assert_eq!(program, "/usr/bin/probity");
    assert_eq!(args, "boot");
    probity![args, "--help"].run().ok();
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        println!("skipped: no systemd-analyze (package systemd)");
        return;
    }
    // It minds a command that is not there.
    let scratch = Scratch::new();
    let here = scratch.path("probity-boot.service");
    let ours = text.replace(program, env!("CARGO_BIN_EXE_probity"));
    std::fs::write(&here, ours).unwrap();
    let done = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&here)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success() && !said.contains("probity-boot"),
        "{said}"
    );
}
