//! Paths on the command line → the objects to measure, and earlier runs to show again.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// `EM_BPF`.
const MACHINE: [u8; 2] = 247u16.to_le_bytes();

/// Objects and assembly files: files as they are named, and what is BPF below directories; sorted there.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let from = found.len();
        let mut open = vec![path.clone()];
        while let Some(directory) = open.pop() {
            let entries = std::fs::read_dir(&directory)
                .with_context(|| format!("cannot read {}", directory.display()))?;
            for entry in entries.flatten() {
                let kind = entry.file_type();
                if kind.as_ref().is_ok_and(std::fs::FileType::is_dir) {
                    open.push(entry.path());
                } else if kind.is_ok_and(|k| k.is_file()) && is_bpf(&entry.path()) {
                    found.push(entry.path());
                }
            }
        }
        found[from..].sort();
    }
    Ok(found)
}

/// A run that was kept.
pub fn is_run(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("csv"))
}

fn is_bpf(path: &Path) -> bool {
    let mut head = [0; 20];
    std::fs::File::open(path)
        .and_then(|mut f| f.read_exact(&mut head))
        .is_ok_and(|()| head.starts_with(b"\x7fELF") && head.ends_with(&MACHINE))
}
