//! What the running kernel says of itself: its types, its events, what we may do to it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use probity_btf::Btf;
use probity_platform::{Platform, Version};

use crate::input;

const BTF: &str = "/sys/kernel/btf/vmlinux";
/// Where the kernel keeps its events; the second is the old place.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// The running kernel's version; the newest that the tables know where it cannot be told.
pub fn version() -> Version {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|n| n.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => Version(major, minor),
        _ => Version(6, 18),
    }
}

/// Types from `file`, or of the running kernel. `None` when the kernel shows none.
pub fn types(file: Option<&Path>) -> Result<Option<Arc<Btf>>> {
    let path = match file {
        Some(path) => path,
        None if Path::new(BTF).exists() => Path::new(BTF),
        None => return Ok(None),
    };
    let bytes = input::read(path)?;
    let btf = parse_types(&bytes).with_context(|| format!("in the types of {}", path.display()))?;
    Ok(Some(Arc::new(btf)))
}

/// Raw BTF, or the `.BTF` section of an ELF file.
pub fn parse_types(bytes: &[u8]) -> Result<Btf> {
    if !bytes.starts_with(b"\x7fELF") {
        return Ok(Btf::parse(bytes)?);
    }
    match input::elf_section(bytes, ".BTF")? {
        Some(section) => Ok(Btf::parse(section)?),
        None => bail!(
            "the ELF file has no .BTF section; build it with debug information and pahole, or clang -g"
        ),
    }
}

/// The tables of the newest Linux they know, with these types.
pub fn platform(types: Option<Arc<Btf>>) -> Arc<Platform> {
    Arc::new(Platform::linux(Version(6, 18), types))
}

/// The directory of tracefs, when it is there and readable.
pub fn tracefs() -> Option<&'static Path> {
    TRACEFS
        .iter()
        .map(Path::new)
        .find(|p| p.join("events").is_dir())
}
