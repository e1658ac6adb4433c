//! What tells a container's processes from others: their control group, their namespace.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use probity_script::{CgroupFilter, NamespaceFilter};

/// A control group of the unified hierarchy by its directory.
pub fn cgroup(directory: &Path) -> Result<CgroupFilter> {
    let whole = directory
        .canonicalize()
        .with_context(|| format!("no control group {}", directory.display()))?;
    if !whole.join("cgroup.procs").is_file() {
        bail!(
            "{} is not a control group of the unified hierarchy (cgroup v2)",
            directory.display()
        );
    }
    // The root of the hierarchy is the highest directory that is a group.
    let above = whole
        .ancestors()
        .skip(1)
        .take_while(|d| d.join("cgroup.procs").is_file())
        .count();
    Ok(CgroupFilter {
        // A group's id is its directory's inode.
        id: std::fs::metadata(&whole)?.ino(),
        level: above as u32,
    })
}

/// The namespace of a process, or of a namespace's file.
pub fn namespace(of: &str) -> Result<NamespaceFilter> {
    let file = match of.parse::<u32>() {
        Ok(pid) => PathBuf::from(format!("/proc/{pid}/ns/pid")),
        Err(_) => PathBuf::from(of),
    };
    let found =
        std::fs::metadata(&file).with_context(|| format!("no namespace {}", file.display()))?;
    Ok(NamespaceFilter {
        device: found.dev(),
        inode: found.ino(),
    })
}
