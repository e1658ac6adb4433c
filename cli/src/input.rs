//! Files a person names: an object, an assembly file or a script, told apart by what is in them.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use object::{Object as _, ObjectSection};
use probity_objfile::Object;
use probity_platform::Platform;

/// A whole file. Errors name it.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    Ok(probity_store::read(path)?)
}

/// Text; bytes that are not UTF-8 are an error with their place.
pub fn read_text(path: &Path) -> Result<String> {
    Ok(probity_store::read_text(path)?)
}

/// The file's name without its directory, for messages.
pub fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// `EM_BPF`.
const MACHINE: [u8; 2] = 247u16.to_le_bytes();

/// Objects and assembly files: files as they are named, and what is BPF below directories; sorted there.
pub fn objects(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
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
        if found.len() == from {
            bail!("{} holds no BPF object", path.display());
        }
        found[from..].sort();
    }
    Ok(found)
}

fn is_bpf(path: &Path) -> bool {
    let mut head = [0; 20];
    std::fs::File::open(path)
        .and_then(|mut f| f.read_exact(&mut head))
        .is_ok_and(|()| head.starts_with(b"\x7fELF") && head.ends_with(&MACHINE))
}

/// An extension object, from ELF or from assembly (`.s`).
pub fn object(path: &Path, platform: &Platform) -> Result<Object> {
    let bytes = read(path)?;
    let shown = path.display();
    if path.extension() == Some(OsStr::new("s")) && !bytes.starts_with(b"\x7fELF") {
        let text = String::from_utf8(bytes).with_context(|| format!("{shown} is not text"))?;
        return assemble(path, &text, platform);
    }
    let stem = path
        .file_stem()
        .unwrap_or(path.as_os_str())
        .to_string_lossy();
    probity_objfile::open(&stem, &bytes)
        .with_context(|| format!("cannot open {shown} as an extension object"))
}

pub fn assemble(path: &Path, text: &str, platform: &Platform) -> Result<Object> {
    let helper = |name: &str| platform.helper_by_name(name).map(|h| h.id);
    probity_objfile::assemble(&name(path), text, &helper)
        .map_err(|e| anyhow::anyhow!("{}:{e}", path.display()))
}

/// One section's bytes.
pub fn elf_section<'a>(bytes: &'a [u8], name: &str) -> Result<Option<&'a [u8]>> {
    let file = object::File::parse(bytes).context("not an ELF file that can be read")?;
    match file.section_by_name(name) {
        Some(section) => Ok(Some(
            section.data().with_context(|| format!("section {name}"))?,
        )),
        None => Ok(None),
    }
}
