//! Files that outlive the command: replaced whole, or added to line by line, so that a kill at any instant leaves
//! the old or the new.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use probity_bundle::Time;
use probity_bundle::log::{self, Head};
use serde_json::{Map, Value};

use crate::error::{Error, Result, io};

pub const LOG: &str = "log";
/// The last line of the log, beside it: what an end left out is found by.
pub const HEAD: &str = "log.head";
/// Bytes at the log's end in which its last line is looked for.
const TAIL: u64 = 1 << 20;
/// More than any object, package or script has. A file may lie about its size
/// (`/dev/zero`), so reading stops there.
const LARGEST: u64 = 256 << 20;

/// A whole file. Errors name it.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let file = File::open(path).map_err(io("cannot open", path))?;
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        return Err(Error::Refused(format!("{shown} is a directory")));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(io("cannot read", path))?;
    if bytes.len() as u64 > LARGEST {
        let most = LARGEST >> 20;
        return Err(Error::Refused(format!("{shown} is larger than {most} MiB")));
    }
    Ok(bytes)
}

/// Text; bytes that are not UTF-8 are an error.
pub fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|e| Error::Io {
        what: format!(
            "{} is not text (or an object file named as text)",
            path.display()
        ),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, e),
    })
}

pub fn now() -> Time {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    Time(since.map_or(0, |d| d.as_secs()))
}

/// Puts `bytes` where `path` is, at once: another process sees all of them or what was there.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let Some(name) = path.file_name().map(|n| n.to_string_lossy()) else {
        let shown = path.display();
        return Err(Error::Refused(format!("{shown} is no name of a file")));
    };
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
        .map_err(io("cannot write", path))
}

/// A text file's content; empty when there is none. What others may write is not believed.
pub fn read_guarded(path: &Path) -> Result<String> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Err(e) => return Err(io("cannot read", path)(e)),
    };
    // Who may write a directory may put another file in its place, unless it is sticky.
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let around = std::fs::metadata(dir).map_or(0, |m| m.mode());
    if around & 0o1002 == 0o002 {
        return Err(open_to_all(dir));
    }
    if metadata.mode() & 0o002 != 0 {
        return Err(open_to_all(path));
    }
    read_text(path)
}

fn open_to_all(path: &Path) -> Error {
    Error::Refused(format!(
        "{} may be written by everybody, so nothing in it can be trusted: chmod o-w {0}",
        path.display()
    ))
}

/// Held while something in a directory is read, changed and written.
pub struct Lock(#[expect(dead_code, reason = "dropping it unlocks")] File);

pub fn lock(dir: &Path) -> Result<Lock> {
    std::fs::create_dir_all(dir).map_err(io("cannot create", dir))?;
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
    Ok(Lock(open().map_err(io("cannot lock", &path))?))
}

/// Adds a line to the log of a directory, and remembers it. The directory is locked by the caller.
pub fn append(dir: &Path, _lock: &Lock, event: &str, details: Map<String, Value>) -> Result<()> {
    let path = dir.join(LOG);
    let shown = path.display();
    let cannot = || io("cannot write the log", &path);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o640)
        .open(&path)
        .map_err(cannot())?;
    let size = file.metadata().map_err(cannot())?.len();
    let skipped = size.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(skipped)).map_err(cannot())?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).map_err(cannot())?;
    let log = log::end(&tail, skipped);
    let look =
        "look at it with `probity log verify`, then put it aside; without a log nothing is decided";
    let append = match log.append(now(), event, details) {
        Ok(append) => append,
        Err(broken) => {
            let what = broken.what;
            return Err(Error::Refused(format!(
                "the log {shown} is broken at its end ({what}): {look}"
            )));
        }
    };
    let remembered = head(dir)?;
    let here = log.head().map_or(0, |h| h.seq);
    if let Some(head) = remembered.filter(|h| h.seq > here) {
        let once = head.seq;
        return Err(Error::Refused(format!(
            "the log {shown} ends at line {here} and had {once} once: {look}"
        )));
    }
    if append.keep < size {
        file.set_len(append.keep).map_err(cannot())?;
    }
    file.seek(SeekFrom::Start(append.keep)).map_err(cannot())?;
    file.write_all(&append.bytes).map_err(cannot())?;
    file.sync_data().map_err(cannot())?;
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
        Err(what) => Err(Error::Refused(format!("{}: {what}", path.display()))),
    }
}
