//! A set of packages ⇄ an image that a host maps at start: verified and compiled once, and taken only for what it was made of.
//!
//! An image holds packages with their priorities, in the order in which they are loaded, and the code that was compiled of them. A start judges each
//! package and proves it again; only then is its code taken, when it was compiled of that very proof, for this host, platform,
//! policy, processor and version ([`probity_jit::Prelinked`]). What was compiled for another one is compiled anew, which is told.
//! The whole image is sealed by the key in the host's directory of state: of one that was changed, or that comes from
//! elsewhere, nothing is used.
//!
//! **Invariant:** an image spares compiling and nothing else: what is loaded from it is judged, proved and granted as from a package.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use probity_bundle::Package;
use probity_jit::{Cache, MadeFor, Prelinked};
use probity_store::Store;

use crate::error::Error;
use crate::host::{Host, Load};

/// Of the directory of state: the key that seals images.
const KEY_DIRECTORY: &str = "code";
/// How packages lie in an image: a number that moves on when that changes, then of each package its length, its priority and its bytes.
const FORMAT: u64 = 0x6d69_5f79_7462_0002;
/// Longest image, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// What became of one package of an image.
#[derive(Debug)]
pub struct Started {
    pub name: String,
    pub outcome: Result<Code, Error>,
}

/// Where a loaded extension's code comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// From the image.
    Mapped,
    /// It was compiled, and why.
    Compiled(String),
}

impl Host {
    /// Loads packages, each with its priority, in this order, and gives the image of them. What is not loaded here is in no image.
    ///
    /// The host needs a store: in its directory of state is the key that seals the image, so whoever makes it is
    /// the user who starts with it.
    pub fn prelink(&self, packages: &[(Package, i32)]) -> Result<Vec<u8>, Error> {
        let cache = self.image_key()?;
        let collected = Prelinked::collect().map_err(engine)?;
        let collected = Arc::new(collected);
        self.shared.set_code(Some(collected.clone()));
        let mut beside = FORMAT.to_le_bytes().to_vec();
        let made = packages.iter().try_for_each(|(package, priority)| {
            let bytes = package.to_bytes();
            self.load_as("prelink", &bytes, &with_priority(*priority))?;
            beside.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            beside.extend_from_slice(&priority.to_le_bytes());
            beside.extend_from_slice(&bytes);
            Ok(())
        });
        self.shared.set_code(None);
        made.map(|()| collected.to_bytes(&cache, &beside))
    }

    /// Loads what is in an image. One that cannot be loaded is told, and the others are loaded all the same.
    pub fn start(&self, image: &Path) -> Result<Vec<Started>, Error> {
        let cache = self.image_key()?;
        let refused = |why: String| Error::Image {
            path: image.to_path_buf(),
            why,
        };
        let mapped = Mapped::open(image).map_err(refused)?;
        let opened = Prelinked::open(mapped.bytes(), &cache);
        let (code, beside) = opened.map_err(|e| refused(e.to_string()))?;
        let packages = packages(beside);
        let packages =
            packages.ok_or_else(|| refused("another version of Probity made it".into()))?;
        let code = Arc::new(code);
        let why = other(code.made_for());
        self.shared.set_code(Some(code));
        let started = packages
            .into_iter()
            .map(|(priority, bytes)| self.start_one(priority, bytes, &why));
        let started = started.collect();
        self.shared.set_code(None);
        Ok(started)
    }

    fn start_one(&self, priority: i32, bytes: &[u8], why: &str) -> Started {
        let name = match Package::open(bytes) {
            Ok(package) => package.manifest().name.clone(),
            Err(_) => "?".into(),
        };
        let outcome = self.load_as("start", bytes, &with_priority(priority));
        let outcome = outcome.map(|name| match self.is_from_image(&name) {
            true => Code::Mapped,
            false => Code::Compiled(why.into()),
        });
        Started { name, outcome }
    }

    fn image_key(&self) -> Result<Cache, Error> {
        let Some(store) = &self.shared.rights.store else {
            let why = "an image is sealed by a key in a directory of state, and this host has none";
            return Err(Error::Store(why.into()));
        };
        key(store)
    }
}

fn key(store: &Store) -> Result<Cache, Error> {
    Cache::open(store.state.join(KEY_DIRECTORY)).map_err(|e| Error::Store(e.to_string()))
}

fn engine(e: probity_jit::Error) -> Error {
    Error::Engine(e.to_string())
}

/// Why code of an image is not taken.
fn other(made: &MadeFor) -> String {
    let Ok(here) = MadeFor::here() else {
        return "this processor is unknown".into();
    };
    let mut why = Vec::new();
    if made.version != here.version {
        why.push(format!(
            "the image was made by version {}, and this is {}",
            made.version, here.version
        ));
    }
    if made.processor != here.processor {
        why.push(format!(
            "the image was made on {}, and this is {}",
            made.processor, here.processor
        ));
    }
    match why.is_empty() {
        true => "the image was made for another description, policy or number of CPUs".into(),
        false => why.join("; "),
    }
}

fn with_priority(priority: i32) -> Load {
    Load {
        priority,
        ..Load::default()
    }
}

/// What an image's maker has put beside the code: priorities and packages.
fn packages(beside: &[u8]) -> Option<Vec<(i32, &[u8])>> {
    let (format, mut rest) = beside.split_first_chunk::<8>()?;
    if u64::from_le_bytes(*format) != FORMAT {
        return None;
    }
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (len, after) = rest.split_first_chunk::<8>()?;
        let (priority, after) = after.split_first_chunk::<4>()?;
        let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
        let (bytes, after) = after.split_at_checked(len)?;
        all.push((i32::from_le_bytes(*priority), bytes));
        rest = after;
    }
    Some(all)
}

/// A file's bytes in memory, without a copy.
struct Mapped {
    address: *mut libc::c_void,
    len: usize,
}

impl Mapped {
    /// A file that this user, or root, could have written, and nobody else.
    fn open(path: &Path) -> Result<Mapped, String> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        let about = file.metadata().map_err(|e| e.to_string())?;
        // SAFETY: it has no preconditions.
        let user = unsafe { libc::geteuid() };
        if !about.is_file() || about.uid() != user && about.uid() != 0 || about.mode() & 0o022 != 0
        {
            return Err("others than this user could have written it".into());
        }
        let len = match about.len() {
            0 => return Err("it is empty".into()),
            n if n > MAX_BYTES => return Err(format!("it has more than {MAX_BYTES} bytes")),
            n => n as usize,
        };
        // SAFETY: a new mapping at a place that the kernel chooses, of a file that is open.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ,
                libc::MAP_PRIVATE,
                file.as_raw_fd(),
                0,
            )
        };
        match address {
            libc::MAP_FAILED => Err(std::io::Error::last_os_error().to_string()),
            address => Ok(Mapped { address, len }),
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped until this is dropped. Only this user can write the file: whoever could
        // cut it short meanwhile could as well end this process.
        unsafe { std::slice::from_raw_parts(self.address.cast(), self.len) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own, and what was borrowed of it is gone.
        unsafe { libc::munmap(self.address, self.len) };
    }
}
