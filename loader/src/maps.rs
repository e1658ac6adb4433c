//! Maps of a loaded object, seen from user space: bytes in, bytes out.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use probity_objfile::Map;

use crate::{Error, sys};

/// One map. The descriptor is its own: it stays valid after the session is gone.
pub struct MapHandle {
    pub(crate) fd: OwnedFd,
    pub name: String,
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// Bytes.
    pub key_size: usize,
    /// Bytes of one value; per-CPU maps have one for each possible CPU.
    pub value_size: usize,
    pub max_entries: u32,
    /// Values an element has: 1, or the number of possible CPUs.
    pub values: usize,
}

/// Map kinds with a value for each CPU.
const PER_CPU: [u32; 4] = [5, 6, 10, 21];

impl MapHandle {
    pub(crate) fn new(fd: OwnedFd, map: &Map, cpus: usize) -> MapHandle {
        MapHandle {
            fd,
            name: map.name.clone(),
            kind: map.kind,
            key_size: map.key_size as usize,
            value_size: map.value_size as usize,
            max_entries: map.max_entries,
            values: if PER_CPU.contains(&map.kind) { cpus } else { 1 },
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn error(&self, what: &'static str) -> impl FnOnce(io::Error) -> Error + '_ {
        move |source| Error::Map {
            map: self.name.clone(),
            what,
            source,
        }
    }

    fn check(&self, key: &[u8]) -> Result<(), Error> {
        if key.len() == self.key_size {
            return Ok(());
        }
        Err(self.error("key of the wrong size")(
            io::ErrorKind::InvalidInput.into(),
        ))
    }

    /// Bytes from one CPU's value to the next.
    fn stride(&self) -> usize {
        if self.values == 1 {
            self.value_size
        } else {
            self.value_size.next_multiple_of(8)
        }
    }

    /// The values of a key, one for each CPU; `None` when there is no such key.
    pub fn lookup(&self, key: &[u8]) -> Result<Option<Vec<Vec<u8>>>, Error> {
        self.check(key)?;
        let mut bytes = vec![0; self.stride() * self.values];
        match sys::lookup(self.fd(), key, &mut bytes) {
            Ok(()) => {}
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            Err(e) => return Err(self.error("lookup")(e)),
        }
        if self.stride() == 0 {
            return Ok(Some(vec![Vec::new()]));
        }
        Ok(Some(
            bytes
                .chunks(self.stride())
                .map(|v| v[..self.value_size].to_vec())
                .collect(),
        ))
    }

    /// Sets the value of a key, on every CPU.
    pub fn update(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.check(key)?;
        if value.len() != self.value_size {
            return Err(self.error("value of the wrong size")(
                io::ErrorKind::InvalidInput.into(),
            ));
        }
        let same = vec![value; self.values];
        self.update_each(key, &same)
    }

    /// Sets the value of a key on each CPU; CPUs without a value get zeros.
    pub fn update_each(&self, key: &[u8], values: &[impl AsRef<[u8]>]) -> Result<(), Error> {
        self.check(key)?;
        let mut bytes = vec![0; self.stride() * self.values];
        for (cell, value) in bytes.chunks_mut(self.stride().max(1)).zip(values) {
            let value = value.as_ref();
            let n = value.len().min(self.value_size);
            cell[..n].copy_from_slice(&value[..n]);
        }
        sys::update(self.fd(), key, &bytes).map_err(self.error("update"))
    }

    /// Makes an array of `rows`, each of `bytes`, and puts it at a key of a hash of arrays; the one that was there goes.
    pub fn put_array(&self, key: &[u8], bytes: usize, rows: &[u8]) -> Result<(), Error> {
        const ARRAY: u32 = 2;
        /// `BPF_F_INNER_MAP`: of any length.
        const INNER_MAP: u32 = 1 << 12;
        self.check(key)?;
        let wrong = |what| self.error(what)(io::ErrorKind::InvalidInput.into());
        let number = rows.len().checked_div(bytes).unwrap_or(0);
        let Ok(number @ 1..) = u32::try_from(number) else {
            return Err(wrong("an array without rows"));
        };
        if rows.len() != number as usize * bytes {
            return Err(wrong("an array of rows of other sizes"));
        }
        let mut array = Map::new("rows", ARRAY, 4, bytes as u32, number);
        array.flags = INNER_MAP;
        let made = crate::kernel::maps::make(&array, None).map_err(self.error("an array"))?;
        let keys: Vec<u32> = (0..number).collect();
        sys::fill(made.fd.as_fd(), &keys, rows).map_err(self.error("filling an array"))?;
        let inner = made.fd.as_raw_fd().to_ne_bytes();
        sys::update(self.fd(), key, &inner).map_err(self.error("update"))
    }

    /// False when there was no such key.
    pub fn delete(&self, key: &[u8]) -> Result<bool, Error> {
        self.check(key)?;
        match sys::delete(self.fd(), key) {
            Ok(()) => Ok(true),
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(e) => Err(self.error("delete")(e)),
        }
    }

    /// Every key. A hash that changes meanwhile may show a key twice or not at all; the
    /// number of keys read is bounded all the same.
    pub fn keys(&self) -> Result<Vec<Vec<u8>>, Error> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        let most = self.max_entries as usize * 2 + 1;
        let mut next = vec![0; self.key_size];
        while keys.len() < most {
            let last = keys.last().map(Vec::as_slice);
            if !sys::next_key(self.fd(), last, &mut next).map_err(self.error("listing keys"))? {
                break;
            }
            keys.push(next.clone());
        }
        keys.sort();
        keys.dedup();
        Ok(keys)
    }

    /// Every key with its values.
    pub fn entries(&self) -> Result<Vec<(Vec<u8>, Vec<Vec<u8>>)>, Error> {
        let mut entries = Vec::new();
        for key in self.keys()? {
            if let Some(values) = self.lookup(&key)? {
                entries.push((key, values));
            }
        }
        Ok(entries)
    }
}
