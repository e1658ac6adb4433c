//! Files a person names: an object, an assembly file or a script, told apart by what is in them.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result};
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
