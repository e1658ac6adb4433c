//! Links the unwinder into the program, so that it needs no shared library but the C library's, and, where
//! it is built to be small, functions with the same code once and addresses to be adjusted packed.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).as_deref() == Ok(value);
    if !is("CARGO_CFG_TARGET_ENV", "gnu") {
        return;
    }
    // There rustc links by lld, which can, unless it is told otherwise.
    if is("TARGET", "x86_64-unknown-linux-gnu")
        && is("OPT_LEVEL", "z")
        && std::env::var_os("RUSTC_LINKER").is_none()
    {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
        // A C library from before 2.36 says that it cannot load this.
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    // A compiler for another machine would name its own; without one the shared library stays.
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let native = std::env::var("HOST") == std::env::var("TARGET");
    let asked = Command::new(compiler)
        .arg("-print-file-name=libgcc_eh.a")
        .output();
    let Ok(said) = asked else { return };
    let path = String::from_utf8_lossy(&said.stdout);
    let path = Path::new(path.trim());
    if let (true, true, Some(directory)) = (native, path.is_absolute(), path.parent()) {
        println!("cargo:rustc-link-search=native={}", directory.display());
        println!("cargo:rustc-link-lib=static:+whole-archive=gcc_eh");
    }
}
