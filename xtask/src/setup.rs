//! Installs the Debian packages that the tests can use, by name; says what it cannot.

use std::process::Command;

use anyhow::Result;

use crate::sh;

/// Program looked for, packages it comes in, what needs it.
const PACKAGES: &[(&str, &str, &str)] = &[
    ("clang-22", "clang-22", "rebuilding the C programs"),
    (
        "llvm-strip-22",
        "llvm-22",
        "rebuilding the C programs, comparing assembly with LLVM",
    ),
    (
        "wasm-ld-22",
        "lld-22",
        "measuring WebAssembly beside our engines",
    ),
    (
        "qemu-system-x86_64",
        "qemu-system-x86",
        "tests in a virtual machine",
    ),
    (
        "bpftool",
        "bpftool",
        "comparing types, objects and linked objects with libbpf",
    ),
    ("wrk", "wrk", "measuring the gateway of programs/hosts"),
    ("curl", "curl", "following the tutorial"),
    (
        "bpftrace",
        "bpftrace libbpf-dev",
        "measuring what tracing costs beside it and C",
    ),
    ("z3", "z3", "proving the abstract operators"),
    ("cvc5", "cvc5", "proving them faster"),
    ("busybox", "busybox-static", "tests in a virtual machine"),
    ("cpio", "cpio", "tests in a virtual machine"),
    (
        "xz",
        "xz-utils",
        "kernel modules of tests in a virtual machine",
    ),
    (
        "qemu-aarch64",
        "qemu-user",
        "running code compiled for 64-bit Arm",
    ),
    (
        "aarch64-linux-gnu-gcc",
        "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
        "running code compiled for 64-bit Arm",
    ),
];

/// Installs what is missing, where that is possible. Never an error: what is still
/// missing is said, and the tests that need it say that they skip.
pub fn install() -> Result<()> {
    mount_tracefs();
    let missing: Vec<_> = PACKAGES
        .iter()
        .filter(|(program, ..)| !sh::has(program))
        .collect();
    if missing.is_empty() {
        println!("setup: every package is there");
        return Ok(());
    }
    if !sh::has("apt-get") || !sh::is_root() {
        let why = if sh::has("apt-get") {
            "not root"
        } else {
            "no apt-get"
        };
        for (program, package, purpose) in missing {
            println!(
                "setup: {program} is missing (package {package}: {purpose}) and cannot be installed: {why}"
            );
        }
        return Ok(());
    }
    let apt = |args: &[&str]| {
        let mut c = Command::new("apt-get");
        c.env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-qq", "-o", "Dpkg::Use-Pty=0"])
            .args(args);
        c
    };
    if let Err(e) = sh::run(&mut apt(&["update"])) {
        println!("setup: {e}");
    }
    // One at a time: a package that this Debian does not have leaves the others be.
    for (program, package, purpose) in missing {
        println!("setup: installing {package} for {purpose}");
        let mut install = apt(&["install", "-y", "--no-install-recommends"]);
        install.args(package.split(' '));
        if let Err(e) = sh::output(&mut install) {
            println!("setup: {program} is still missing: {e}");
        }
    }
    Ok(())
}

/// Tests of scripts read the kernel's events; a system without an init may not have mounted them.
fn mount_tracefs() {
    let places = [
        "/sys/kernel/tracing/events",
        "/sys/kernel/debug/tracing/events",
    ];
    if !sh::is_root() || places.iter().any(|p| std::path::Path::new(p).is_dir()) {
        return;
    }
    match sh::run(Command::new("mount").args(["-t", "tracefs", "tracefs", "/sys/kernel/tracing"])) {
        Ok(()) => println!("setup: mounted tracefs"),
        Err(e) => println!("setup: tracefs cannot be mounted: {e}"),
    }
}
