//! bpftool's listing of the running kernel's types as a second opinion on every type.

use std::process::Command;

use probity_btf::{Btf, TypeId};

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

#[test]
fn lists_what_bpftool_lists() {
    let Ok(bytes) = std::fs::read(VMLINUX) else {
        eprintln!("skipped: this kernel has no {VMLINUX}");
        return;
    };
    let theirs = match Command::new("bpftool")
        .args(["btf", "dump", "file", VMLINUX])
        .output()
    {
        Ok(out) if out.status.success() => String::from_utf8(out.stdout).unwrap(),
        other => {
            eprintln!(
                "skipped: bpftool does not run ({:?})",
                other.map(|o| o.status)
            );
            return;
        }
    };
    let btf = Btf::parse(&bytes).unwrap();
    let mut theirs = theirs.lines();
    let mut compared = 0;
    for id in (1..btf.len()).map(TypeId) {
        for line in btf.listing(id).lines() {
            assert_eq!(Some(line.trim_end()), theirs.next().map(str::trim_end));
            compared += 1;
        }
    }
    assert_eq!(theirs.next(), None);
    eprintln!("{compared} lines are the same");
}
