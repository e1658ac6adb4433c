//! What the running kernel says of itself: its types, its events, what we may do to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use probity_btf::{Btf, HeaderOptions};
use probity_platform::{NEWEST, OLDEST, Platform, Version};

use crate::{input, output};

const BTF: &str = "/sys/kernel/btf/vmlinux";
/// Where the kernel keeps its events; the second is the old place.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

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

/// The running kernel's types, continued by those of a module.
pub fn types_with(module: Option<&str>) -> Result<Option<Arc<Btf>>> {
    let own = types(None)?;
    let (Some(module), Some(base)) = (module, &own) else {
        return Ok(own);
    };
    // A module's name is a file's, not a path.
    let path = Path::new(BTF).with_file_name(module);
    if module.contains('/') || !path.exists() {
        return Ok(own);
    }
    let bytes = input::read(&path)?;
    let types = Btf::parse_split(base.clone(), &bytes)
        .with_context(|| format!("in the types of {}", path.display()))?;
    Ok(Some(Arc::new(types)))
}

/// All types of the running kernel as a C header.
pub fn header() -> Result<String> {
    let types = types(None)?.with_context(|| format!("the kernel shows no types at {BTF}"))?;
    Ok(types.c_header(&HeaderOptions::default())?)
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

/// A version of Linux on the command line: `6.12`, or `running` for the one that runs here.
pub fn version(text: &str) -> Result<Version, String> {
    let release = match text {
        "running" => std::fs::read_to_string("/proc/sys/kernel/osrelease")
            .map_err(|e| format!("the running kernel does not say its version: {e}"))?,
        text => text.to_string(),
    };
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    let mut part = || parts.next().and_then(|p| p.parse::<u16>().ok());
    let version = match (part(), part()) {
        (Some(major), Some(minor)) => Version(major, minor),
        _ => return Err("a version is two numbers with a dot, as 6.12".into()),
    };
    match version {
        v if v < OLDEST => Err(format!("the oldest version known is {OLDEST}")),
        // A newer kernel has everything that the tables know.
        v if text == "running" => Ok(v.min(NEWEST)),
        v if v > NEWEST => Err(format!("the newest version known is {NEWEST}")),
        v => Ok(v),
    }
}

/// Device and inode of the namespace that counts our processes, as helpers want them.
pub fn pid_namespace() -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let about = std::fs::metadata("/proc/self/ns/pid").ok()?;
    Some((about.dev(), about.ino()))
}

/// What the running kernel calls itself.
pub fn release() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(text.trim().to_string())
}

/// The tables of the newest Linux they know, with these types.
pub fn platform(types: Option<Arc<Btf>>) -> Arc<Platform> {
    Arc::new(Platform::linux(NEWEST, types))
}

/// The directory of tracefs, when it is there and readable.
pub fn tracefs() -> Option<&'static Path> {
    TRACEFS
        .iter()
        .map(Path::new)
        .find(|p| p.join("events").is_dir())
}

/// Mounts tracefs where this system did not; says so. What keeps it from being mounted shows
/// when something is looked up in it.
pub fn ensure_tracefs() {
    if tracefs().is_some() || !may_trace() {
        return;
    }
    match probity_loader::mount_tracefs() {
        Ok(()) => output::note(format_args!(
            "mounted tracefs on {}",
            probity_loader::TRACEFS
        )),
        Err(error) => output::warning(format_args!(
            "tracefs is not mounted and cannot be ({error}): mount -t tracefs tracefs {}",
            probity_loader::TRACEFS
        )),
    }
}

/// Elements of the kernel's per-CPU maps.
pub fn possible_cpus() -> u32 {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    // "0-3", "0,2-5": the last number is the highest CPU.
    let last = text
        .trim()
        .rsplit([',', '-'])
        .next()
        .and_then(|n| n.parse::<u32>().ok());
    last.map_or(1, |n| n.saturating_add(1))
}

/// May this process load tracing programs (CAP_SYS_ADMIN, or CAP_BPF with CAP_PERFMON)?
pub fn may_trace() -> bool {
    const SYS_ADMIN: u64 = 1 << 21;
    const PERFMON: u64 = 1 << 38;
    const BPF: u64 = 1 << 39;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|l| l.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    effective & SYS_ADMIN != 0 || effective & (PERFMON | BPF) == PERFMON | BPF
}

/// The kernel's configuration from `file`, plain or compressed, or of the running kernel where `running` and it tells.
pub fn configuration(
    file: Option<&Path>,
    running: bool,
) -> Result<Option<BTreeMap<String, String>>> {
    const COMPRESSED: &str = "/proc/config.gz";
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let boot = format!("/boot/config-{}", release.trim());
    let path = match file {
        Some(path) => path,
        None if !running => return Ok(None),
        None if Path::new(COMPRESSED).exists() => Path::new(COMPRESSED),
        None if Path::new(&boot).exists() => Path::new(&boot),
        None => return Ok(None),
    };
    let bytes = input::read(path)?;
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(&bytes[..])
            .take(MAX_CONFIGURATION)
            .read_to_string(&mut text)
            .with_context(|| format!("in the configuration {}", path.display()))?;
    } else {
        text = String::from_utf8_lossy(&bytes).into_owned();
    }
    Ok(Some(probity_objfile::parse_kconfig(&text)))
}

/// Bytes of a configuration; real ones have a few hundred thousand.
const MAX_CONFIGURATION: u64 = 16 << 20;

/// Functions open to error injection from `file`, or of the running kernel where `running` and it lists them.
pub fn injectable(file: Option<&Path>, running: bool) -> Result<Option<Arc<BTreeSet<String>>>> {
    const LIST: &str = "/sys/kernel/debug/error_injection/list";
    let path = match file {
        Some(path) => path,
        None if running && Path::new(LIST).exists() => Path::new(LIST),
        None => return Ok(None),
    };
    let text = input::read_text(path)?;
    Ok(Some(Arc::new(probity_platform::parse_injectable(&text))))
}
