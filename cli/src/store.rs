//! Files that outlive the command: replaced whole, or added to line by line, so that a kill at any instant leaves
//! the old or the new.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use probity_bundle::Time;
use probity_bundle::log::{self, Head};
use serde_json::{Map, Value};

pub const LOG: &str = "log";
/// The last line of the log, beside it: what an end left out is found by.
pub const HEAD: &str = "log.head";
/// Bytes at the log's end in which its last line is looked for.
const TAIL: u64 = 1 << 20;

pub fn now() -> Time {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    Time(since.map_or(0, |d| d.as_secs()))
}

/// Puts `bytes` where `path` is, at once: another process sees all of them or what was there.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let name = path.file_name().with_context(cannot)?.to_string_lossy();
    let new = dir.join(format!(".{name}.{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        File::open(dir)?.sync_all()
    };
    write()
        .inspect_err(|_| drop(std::fs::remove_file(&new)))
        .with_context(cannot)
}

/// A text file's content; empty when there is none. What others may write is not believed.
pub fn read_guarded(path: &Path) -> Result<String> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    // Who may write a directory may put another file in its place, unless it is sticky.
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let around = std::fs::metadata(dir).map_or(0, |m| m.mode());
    if around & 0o1002 == 0o002 {
        bail!(
            "{} may be written by everybody, so nothing in it can be trusted: chmod o-w {0}",
            dir.display()
        );
    }
    if metadata.mode() & 0o002 != 0 {
        bail!(
            "{} may be written by everybody, so nothing in it can be trusted: chmod o-w {0}",
            path.display()
        );
    }
    crate::input::read_text(path)
}

/// Held while something in a directory is read, changed and written.
pub struct Lock(#[expect(dead_code, reason = "dropping it unlocks")] File);

pub fn lock(dir: &Path) -> Result<Lock> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let path = dir.join("lock");
    let open = || -> std::io::Result<File> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(&path)?;
        file.lock()?;
        Ok(file)
    };
    Ok(Lock(open().with_context(|| {
        format!("cannot lock {}", path.display())
    })?))
}

/// Adds a line to the log of a directory, and remembers it. The directory is locked by the caller.
pub fn append(dir: &Path, _lock: &Lock, event: &str, details: Map<String, Value>) -> Result<()> {
    let path = dir.join(LOG);
    let shown = path.display();
    let cannot = || format!("cannot write the log {shown}");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o640)
        .open(&path)
        .with_context(cannot)?;
    let size = file.metadata().with_context(cannot)?.len();
    let skipped = size.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(skipped)).with_context(cannot)?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).with_context(cannot)?;
    let log = log::end(&tail, skipped);
    let look =
        "look at it with `probity log verify`, then put it aside; without a log nothing is decided";
    let append = match log.append(now(), event, details) {
        Ok(append) => append,
        Err(broken) => bail!(
            "the log {shown} is broken at its end ({}): {look}",
            broken.what
        ),
    };
    let remembered = head(dir)?;
    let here = log.head().map_or(0, |h| h.seq);
    if let Some(head) = remembered.filter(|h| h.seq > here) {
        bail!(
            "the log {shown} ends at line {here} and had {} once: {look}",
            head.seq
        );
    }
    if append.keep < size {
        file.set_len(append.keep).with_context(cannot)?;
    }
    file.seek(SeekFrom::Start(append.keep))
        .with_context(cannot)?;
    file.write_all(&append.bytes).with_context(cannot)?;
    file.sync_data().with_context(cannot)?;
    replace(
        &dir.join(HEAD),
        format!("{}\n", append.head).as_bytes(),
        0o640,
    )
}

/// The line remembered as the log's last.
pub fn head(dir: &Path) -> Result<Option<Head>> {
    let path: PathBuf = dir.join(HEAD);
    let text = read_guarded(&path)?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(head) => Ok(Some(head)),
        Err(what) => bail!("{}: {what}", path.display()),
    }
}
