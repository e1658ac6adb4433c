//! What a load takes of the kernel's memory at most, from a memory cgroup that the loading process is alone in.
//!
//! Version 1 of control groups counts the kernel's pages one by one, apart from those of processes. Version 2 counts
//! both together, and takes pages from the whole in batches: its figures are rougher, and tell of large loads only.
//! Before 6.17 Linux charged what its verifier takes to nobody.
//! The parent makes the group and removes it, since a group with a process in it cannot go.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::machine;

/// The first version that charges its verifier's memory to whoever loads.
const CHARGES: u32 = 6 << 16 | 17 << 8;

/// A memory cgroup with nobody in it; removed when dropped.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
    /// Where version 2 was mounted for this.
    mounted: Option<PathBuf>,
}

impl Group {
    /// `Err` says what the system lacks, or does not let us do.
    pub fn make() -> Result<Group, String> {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        if machine::version(&release) < CHARGES {
            return Err("Linux counts its verifier's memory since 6.17".into());
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let name = format!("probity-{}", std::process::id());
        let mut why = "no memory cgroups here".to_string();
        for place in places(&mounts) {
            match within(&place, &name) {
                Ok(path) => {
                    return Ok(Group {
                        path,
                        mounted: None,
                    });
                }
                Err(e) => why = e,
            }
        }
        // A system that mounts no control groups at all, such as a small virtual machine.
        let place = std::env::temp_dir().join(format!("{name}-cgroup"));
        mount(&place).map_err(|e| format!("{why}; mounting cgroup2: {e}"))?;
        match within(&place, &name) {
            Ok(path) => Ok(Group {
                path,
                mounted: Some(place),
            }),
            Err(e) => {
                unmount(&place);
                Err(e)
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Whoever was in it may be gone an instant ago only.
        for _ in 0..50 {
            match fs::remove_dir(&self.path) {
                Err(e) if e.raw_os_error() == Some(libc::EBUSY) => {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                _ => break,
            }
        }
        if let Some(place) = &self.mounted {
            unmount(place);
        }
    }
}

/// Roots of hierarchies that control memory, version 2 first.
fn places(mounts: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else {
            continue;
        };
        let Some(place) = left.split(' ').nth(4) else {
            continue;
        };
        let mut right = right.split(' ');
        let (kind, options) = (right.next(), right.nth(1).unwrap_or_default());
        let place = PathBuf::from(place);
        match kind {
            Some("cgroup2") => {
                let there = fs::read_to_string(place.join("cgroup.controllers"));
                if there.is_ok_and(|t| t.split_whitespace().any(|c| c == "memory")) {
                    found.insert(0, place);
                }
            }
            Some("cgroup") if options.split(',').any(|o| o == "memory") => found.push(place),
            _ => {}
        }
    }
    found
}

/// A group of its own, with the files that are read.
fn within(place: &Path, name: &str) -> Result<PathBuf, String> {
    let path = place.join(name);
    fs::create_dir(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let has = |file: &str| path.join(file).exists();
    if !has(V1_PEAK) && !has(V2_PEAK) {
        let control = place.join("cgroup.subtree_control");
        let _ = fs::write(control, "+memory");
    }
    if has(V1_PEAK) || has(V2_PEAK) {
        return Ok(path);
    }
    let _ = fs::remove_dir(&path);
    Err(format!("{} does not control memory", place.display()))
}

const V1_PEAK: &str = "memory.kmem.max_usage_in_bytes";
const V1_USAGE: &str = "memory.kmem.usage_in_bytes";
const V2_PEAK: &str = "memory.peak";
const V2_USAGE: &str = "memory.current";

/// The group that this process is in, read.
#[derive(Debug)]
pub struct Meter {
    group: PathBuf,
    first: bool,
}

/// What there was before.
#[derive(Debug)]
pub struct Before {
    usage: u64,
    peak: File,
}

impl Meter {
    /// Moves this process into the group.
    pub fn enter(group: &Path) -> io::Result<Meter> {
        let id = std::process::id().to_string();
        fs::write(group.join("cgroup.procs"), id)?;
        Ok(Meter {
            first: group.join(V1_PEAK).exists(),
            group: group.to_path_buf(),
        })
    }

    /// The peak from here on. Version 2 forgets an earlier peak since Linux 6.12 only.
    pub fn start(&self) -> Option<Before> {
        let (usage, peak) = match self.first {
            true => (V1_USAGE, V1_PEAK),
            false => (V2_USAGE, V2_PEAK),
        };
        let path = self.group.join(peak);
        // In version 2 it is this descriptor's own.
        let mut peak = OpenOptions::new().read(true).write(true).open(path).ok()?;
        peak.write_all(b"0").ok()?;
        let usage = number(File::open(self.group.join(usage)).ok()?)?;
        Some(Before { usage, peak })
    }

    /// Bytes held at most since then, over what was held then.
    pub fn peak(&self, before: &Before) -> Option<u64> {
        let mut file = &before.peak;
        file.seek(SeekFrom::Start(0)).ok()?;
        // Version 2 may have had enough in hand from the batch before.
        let peak = number(file)?.saturating_sub(before.usage);
        (peak > 0).then_some(peak)
    }
}

fn number(mut file: impl Read) -> Option<u64> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn text(path: &Path) -> io::Result<std::ffi::CString> {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

fn mount(place: &Path) -> io::Result<()> {
    fs::create_dir(place)?;
    let at = text(place)?;
    // SAFETY: all texts are NUL-terminated and live through the call; cgroup2 takes no data.
    let r = unsafe {
        libc::mount(
            c"cgroup2".as_ptr(),
            at.as_ptr(),
            c"cgroup2".as_ptr(),
            0,
            std::ptr::null(),
        )
    };
    if r < 0 {
        let error = io::Error::last_os_error();
        let _ = fs::remove_dir(place);
        return Err(error);
    }
    Ok(())
}

fn unmount(place: &Path) {
    if let Ok(at) = text(place) {
        // SAFETY: the text is NUL-terminated and lives through the call.
        unsafe {
            libc::umount2(at.as_ptr(), libc::MNT_DETACH);
        }
    }
    let _ = fs::remove_dir(place);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_that_control_memory() {
        let mounts = "\
30 20 0:24 / /nowhere/memory rw,relatime shared:9 - cgroup cgroup rw,memory
31 20 0:25 / /nowhere/cpu rw,relatime - cgroup cgroup rw,cpu
32 20 0:26 / /nowhere/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
33 20 0:27 / / rw - ext4 /dev/vda rw
";
        assert_eq!(places(mounts), [PathBuf::from("/nowhere/memory")]);
        assert!(places("").is_empty());
    }
}
