//! Compiled code on disk: a directory of the user's own, from which the next start takes what it need not compile again.
//!
//! A cache replaces compilation, never verification: code is found by a digest of everything it
//! depends on ([`crate::key`]), the facts of the proof included, and there is no instance, and no
//! such digest, without a proof made in this process. So code runs only for a program, a platform
//! and a policy for which verification, just now, came to the facts that it was compiled from.
//! Leaving verification out would save more; then a file would say what is safe, and whoever can
//! write it decides, so it is not done.
//!
//! # What it protects from
//!
//! A file that is executed is as good as the program itself. Therefore:
//! - the directory, the key in it and every file must belong to the user that runs this process,
//!   and nobody else may read or write them (mode 0700, 0600); otherwise they are refused. The
//!   directory is opened once, and everything is found from there: it cannot be exchanged later;
//! - files carry a message authentication code (keyed BLAKE3, over the digest and the content) by a
//!   random key that is made with the directory. So a file that comes from elsewhere (a backup, a
//!   container's image, another user), one that was damaged, and one that was given the name of
//!   another are compiled anew, not run;
//! - what passes is decoded with every length checked, and linked against this process's own
//!   addresses only.
//!
//! It does not protect from those who can act as this user, or as root: they can read the key, and
//! could change this process or the host as well.
//!
//! **Invariant:** nothing here fails a start but the directory itself: a file that is not as it should be is as none.

use std::ffi::{CStr, CString};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::hex;
use crate::key::{Digests, Key};

/// Largest file.
const MAX_FILE: u64 = 256 << 20;
/// Bytes that all files may have together, unless another bound is set.
const MAX_BYTES: u64 = 64 << 20;
/// Files that there may be.
const MAX_FILES: usize = 4096;
const MAGIC: &[u8; 8] = b"PROBJIT1";
const HEADER: usize = 8 + 32;
const KEY_FILE: &CStr = c"key";
/// How files of code are called, behind the digest.
const SUFFIX: &str = ".code";

/// A directory of compiled code.
pub struct Cache {
    path: PathBuf,
    directory: OwnedFd,
    secret: [u8; 32],
    max_bytes: u64,
    digests: Digests,
}

impl Cache {
    /// Opens the directory, and makes it when it does not exist. One that belongs to somebody else, or that others may use, is refused.
    pub fn open(directory: impl AsRef<Path>) -> Result<Cache, Error> {
        let path = directory.as_ref().to_path_buf();
        let error = |message: String| Error::Cache {
            path: path.clone(),
            message,
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|e| error(e.to_string()))?;
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&path)
            .map_err(|e| error(e.to_string()))?;
        let about = opened.metadata().map_err(|e| error(e.to_string()))?;
        private(&about).map_err(&error)?;
        let directory = OwnedFd::from(opened);
        let secret = secret(&directory).map_err(error)?;
        Ok(Cache {
            path,
            directory,
            secret,
            max_bytes: MAX_BYTES,
            digests: Digests::default(),
        })
    }

    /// Bounds the bytes of all files together; beyond it, those go that were not used for longest.
    pub fn with_limit(mut self, bytes: u64) -> Cache {
        self.max_bytes = bytes;
        self
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn digests(&self) -> &Digests {
        &self.digests
    }

    /// What was stored under a key, when it is whole and ours.
    pub(crate) fn load(&self, key: &Key) -> Option<Vec<u8>> {
        let file = open_at(&self.directory, &name(key), libc::O_RDONLY).ok()?;
        let about = file.metadata().ok()?;
        let len = about.len();
        if private(&about).is_err() || !about.is_file() || about.nlink() != 1 || len > MAX_FILE {
            return None;
        }
        let mut bytes = vec![0; len as usize];
        // One that has become shorter meanwhile is as none.
        (&file).read_exact(&mut bytes).ok()?;
        let (magic, rest) = bytes.split_at_checked(MAGIC.len())?;
        let (code, content) = rest.split_at_checked(HEADER - MAGIC.len())?;
        let code: [u8; 32] = code.try_into().ok()?;
        // Compared in constant time.
        if magic != MAGIC || self.authenticate(key, content) != blake3::Hash::from(code) {
            return None;
        }
        bytes.drain(..HEADER);
        // It was used: it is not the next to go.
        // SAFETY: the descriptor is open; no times are handed over, which means now.
        unsafe { libc::futimens(file.as_raw_fd(), std::ptr::null()) };
        Some(bytes)
    }

    /// Stores content under a key, whole or not at all, and makes room.
    pub(crate) fn store(&self, key: &Key, content: &[u8]) -> io::Result<()> {
        if (content.len() + HEADER) as u64 > MAX_FILE.min(self.max_bytes) {
            return Err(io::Error::other("too large for the cache"));
        }
        let mut unique = [0; 16];
        random(&mut unique)?;
        let temporary = c_string(format!("{}.new", hex(&unique)));
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
        let mut file = open_at(&self.directory, &temporary, flags)?;
        let code = self.authenticate(key, content);
        let written = file
            .write_all(&[&MAGIC[..], code.as_bytes()].concat())
            .and_then(|()| file.write_all(content))
            .and_then(|()| self.rename(&temporary, &name(key)));
        if written.is_err() {
            self.remove(&temporary);
        }
        written?;
        self.evict();
        Ok(())
    }

    fn authenticate(&self, key: &Key, content: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(MAGIC).update(key).update(content);
        hasher.finalize()
    }

    /// Authenticates what is kept elsewhere, as of one `kind`.
    pub(crate) fn seal(&self, kind: &[u8; 8], content: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(kind).update(content);
        hasher.finalize()
    }

    fn rename(&self, from: &CStr, to: &CStr) -> io::Result<()> {
        let at = self.directory.as_raw_fd();
        // SAFETY: both names end with NUL, and the directory is open.
        match unsafe { libc::renameat(at, from.as_ptr(), at, to.as_ptr()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn remove(&self, name: &CStr) {
        // SAFETY: the name ends with NUL, and the directory is open.
        unsafe { libc::unlinkat(self.directory.as_raw_fd(), name.as_ptr(), 0) };
    }

    /// Removes files, the longest unused first, until the rest is within bounds.
    fn evict(&self) {
        let here = format!("/proc/self/fd/{}", self.directory.as_raw_fd());
        let Ok(entries) = std::fs::read_dir(here) else {
            return;
        };
        let mut files: Vec<_> = entries
            .flatten()
            .filter(|e| {
                let name = e.file_name();
                let name = name.as_bytes();
                name.ends_with(SUFFIX.as_bytes()) || name.ends_with(b".new")
            })
            .filter_map(|e| {
                let about = e.metadata().ok()?;
                let name = CString::new(e.file_name().as_bytes()).ok()?;
                Some(((about.mtime(), about.mtime_nsec()), about.len(), name))
            })
            .collect();
        files.sort_unstable();
        let (mut bytes, mut count) = (files.iter().map(|f| f.1).sum::<u64>(), files.len());
        for (_, len, name) in files {
            if bytes <= self.max_bytes && count <= MAX_FILES {
                break;
            }
            self.remove(&name);
            bytes -= len;
            count -= 1;
        }
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Whether something belongs to this user and to nobody else.
fn private(about: &std::fs::Metadata) -> Result<(), String> {
    // SAFETY: cannot fail.
    let user = unsafe { libc::geteuid() };
    if about.uid() != user {
        return Err(format!("belongs to user {}, not to {user}", about.uid()));
    }
    match about.mode() & 0o777 {
        mode if mode & 0o077 == 0 => Ok(()),
        mode => Err(format!("others may use it: its mode is {mode:o}, not 700")),
    }
}

/// The key of the directory's authentication codes; made, when there is none.
fn secret(directory: &OwnedFd) -> Result<[u8; 32], String> {
    let read = || -> Result<[u8; 32], String> {
        let mut file =
            open_at(directory, KEY_FILE, libc::O_RDONLY).map_err(|e| format!("its key: {e}"))?;
        let about = file.metadata().map_err(|e| format!("its key: {e}"))?;
        private(&about).map_err(|e| format!("its key: {e}"))?;
        let mut key = [0; 32];
        if !about.is_file() || about.nlink() != 1 || about.len() != 32 {
            return Err("its key is not a file of 32 bytes".into());
        }
        file.read_exact(&mut key)
            .map_err(|e| format!("its key: {e}"))?;
        Ok(key)
    };
    if open_at(directory, KEY_FILE, libc::O_RDONLY).is_err() {
        make_secret(directory).map_err(|e| format!("its key: {e}"))?;
    }
    read()
}

/// Whole or not at all, and only where there is none: of two processes at once, one makes it.
fn make_secret(directory: &OwnedFd) -> io::Result<()> {
    let (mut key, mut unique) = ([0; 32], [0; 16]);
    random(&mut key)?;
    random(&mut unique)?;
    let temporary = c_string(format!("{}.new", hex(&unique)));
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
    open_at(directory, &temporary, flags)?.write_all(&key)?;
    let at = directory.as_raw_fd();
    // SAFETY: both names end with NUL, and the directory is open.
    let linked = unsafe { libc::linkat(at, temporary.as_ptr(), at, KEY_FILE.as_ptr(), 0) };
    let error = io::Error::last_os_error();
    // SAFETY: as above.
    unsafe { libc::unlinkat(at, temporary.as_ptr(), 0) };
    match linked {
        0 => Ok(()),
        _ if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        _ => Err(error),
    }
}

fn open_at(directory: &OwnedFd, name: &CStr, flags: i32) -> io::Result<File> {
    let flags = flags | libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
    // SAFETY: the name ends with NUL, and the directory is open.
    let fd = unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr(), flags, 0o600) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and nobody else's.
    Ok(unsafe { File::from_raw_fd(fd) })
}

fn random(out: &mut [u8]) -> io::Result<()> {
    // SAFETY: writes at most so many bytes there.
    let n = unsafe { libc::getrandom(out.as_mut_ptr().cast(), out.len(), 0) };
    match usize::try_from(n) {
        Ok(n) if n == out.len() => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn name(key: &Key) -> CString {
    c_string(hex(key) + SUFFIX)
}

/// Of a text without NUL.
fn c_string(text: String) -> CString {
    CString::new(text).unwrap_or_default()
}

#[cfg(test)]
mod tests;
