//! Rebuilds the Rust programs of `programs/`.
//!
//! No released toolchain carries `core` for bpfel-unknown-none; Debian's package
//! libstd-rust-web-dev-bpf does, for its own rustc. The packages are unpacked under the
//! target directory, not installed: they conflict with other Rust installations.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::sh;

const PACKAGES: &[&str] = &["rustc-web", "libstd-rust-web-dev-bpf"];
/// The compiler that made the committed objects.
const RELEASE: &str = "1.96";
const LLC: &str = "llc-22";

/// A compiler for BPF, or `None` (said why) where it is not to be had.
pub fn compiler() -> Result<Option<PathBuf>> {
    let root = sh::target_dir().join("rust-bpf");
    if !sh::has(LLC) {
        println!("programs: Rust programs skipped: no {LLC} (package llvm-22)");
        return Ok(None);
    }
    if root.join("usr/bin/rustc").is_file() {
        return Ok(Some(root));
    }
    if !sh::has("apt-get") || !sh::has("dpkg-deb") {
        println!(
            "programs: Rust programs skipped: no apt-get to fetch {} with",
            PACKAGES.join(", ")
        );
        return Ok(None);
    }
    let debs = sh::target_dir().join("rust-bpf-packages");
    let _ = std::fs::remove_dir_all(&debs);
    std::fs::create_dir_all(&debs)?;
    let mut fetch = Command::new("apt-get");
    fetch
        .args(["-qq", "download"])
        .args(PACKAGES)
        .arg(format!("libstd-rust-web-{RELEASE}"))
        .current_dir(&debs);
    if let Err(e) = sh::output(&mut fetch) {
        println!("programs: Rust programs skipped: {e}");
        return Ok(None);
    }
    for deb in std::fs::read_dir(&debs)? {
        sh::run(
            Command::new("dpkg-deb")
                .arg("-x")
                .arg(deb?.path())
                .arg(&root),
        )?;
    }
    std::fs::remove_dir_all(&debs)?;
    Ok(Some(root))
}

pub fn compile(root: &Path, source: &Path, object: &Path) -> Result<()> {
    let root = std::path::absolute(root)?;
    let object = std::path::absolute(object)?;
    let bitcode = object.with_extension("bc");
    let dir = source.parent().context("source directory")?;
    sh::run(
        Command::new(root.join("usr/bin/rustc"))
            .env("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu"))
            .env_remove("RUSTFLAGS")
            .current_dir(dir)
            .arg("--sysroot")
            .arg(root.join("usr"))
            .args([
                "--target",
                "bpfel-unknown-none",
                "--crate-type",
                "lib",
                "--edition",
                "2024",
            ])
            .args([
                "-C",
                "opt-level=3",
                "-C",
                "panic=abort",
                "-C",
                "debuginfo=2",
                "--emit=llvm-bc",
            ])
            .arg(format!(
                "--remap-path-prefix={}=",
                sh::root().join(dir).display()
            ))
            .arg("-o")
            .arg(&bitcode)
            .arg(source.file_name().context("source name")?),
    )?;
    sh::run(
        Command::new(LLC)
            .args(["-march=bpfel", "-mcpu=v3", "-filetype=obj", "-o"])
            .arg(&object)
            .arg(&bitcode),
    )
}
