//! Rebuilds the objects of `programs/` and `benches/programs/` and compares them with the committed ones.
//!
//! The same clang gives the same bytes; with another version, or without clang, the
//! comparison says that it skips.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{rust_programs, sh};

const CLANG: &str = "clang-22";
const STRIP: &str = "llvm-strip-22";

pub fn run(write: bool) -> Result<()> {
    if !sh::has(CLANG) || !sh::has(STRIP) {
        if write {
            bail!(
                "{CLANG} and {STRIP} are needed to rebuild programs (packages clang-22, llvm-22)"
            );
        }
        println!("programs: skipped: no {CLANG}; the committed objects are used as they are");
        return Ok(());
    }
    let out = sh::target_dir().join("programs");
    let mut differ = Vec::new();
    let mut count = 0;
    let mut sources = sources(Path::new("programs"))?;
    sources.extend(self::sources(Path::new("benches/programs"))?);
    for objects in ["maps", "engines"] {
        let objects = Path::new("tests/tests").join(objects).join("objects");
        sources.extend(self::sources(&objects)?);
    }
    sources.extend(self::sources(Path::new("host/tests/extensions"))?);
    sources.extend(self::sources(Path::new("cli/tests/objects"))?);
    let rust = rust_programs::compiler()?;
    if rust.is_none() {
        sources.retain(|s| s.extension().is_none_or(|x| x != "rs"));
    }
    for source in sources {
        let built = out
            .join(source.file_name().context("file name")?)
            .with_extension("")
            .with_extension("o");
        std::fs::create_dir_all(&out)?;
        match &rust {
            Some(rust) if source.extension().is_some_and(|x| x == "rs") => {
                rust_programs::compile(rust, &source, &built)?;
            }
            _ => compile(&source, &built)?,
        }
        // DWARF goes; BTF with its line information stays.
        sh::run(Command::new(STRIP).arg("-g").arg(&built))?;
        let committed = source.with_extension("").with_extension("o");
        let same = std::fs::read(&committed).ok() == Some(std::fs::read(&built)?);
        if !same && write {
            std::fs::copy(&built, &committed)?;
            println!("programs: wrote {}", committed.display());
        } else if !same {
            differ.push(committed.display().to_string());
        }
        count += 1;
    }
    if !differ.is_empty() {
        bail!(
            "these objects are not what their source gives (cargo xtask programs --write): {}",
            differ.join(", ")
        );
    }
    println!("programs: {count} programs rebuilt, all as committed");
    Ok(())
}

fn compile(source: &Path, object: &Path) -> Result<()> {
    sh::run(
        Command::new(CLANG)
            .args([
                "-O2",
                "-g",
                "--target=bpf",
                "-mcpu=v3",
                "-Wall",
                "-Wextra",
                "-Werror",
            ])
            .args([
                "-Wno-unused-parameter",
                "-Wno-unused-function",
                "-ffreestanding",
                "-nostdlibinc",
            ])
            .args(["-Iprograms/include", "-fdebug-compilation-dir=."])
            .arg(format!("-ffile-prefix-map={}/=", sh::root().display()))
            .arg("-c")
            .arg(source)
            .arg("-o")
            .arg(object),
    )
}

fn sources(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let host = dir.join("Cargo.toml").is_file();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        // A host's own sources are no extensions.
        if host && !path.ends_with("extensions") {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.to_string_lossy().ends_with(".bpf.c")
            || path.extension().is_some_and(|x| x == "rs")
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
