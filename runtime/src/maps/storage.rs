//! Storage by object: a value for each task, socket, inode or cgroup, found by the object's address.
//!
//! An object is what the host says it is: the address that its [`crate::Env`] gives for a task, or that a context holds. The host
//! deletes an object's value when the object goes, as Linux does by itself.
//!
//! Linux bounds the number of objects by memory alone; here a map has room for [`OBJECTS`], or for as many as its definition says.

use crate::maps::{ArrayLayout, Span, Spec, Store, array, hash};
use crate::{Error, maps};

/// Objects with a value, where a definition does not say how many.
pub(crate) const OBJECTS: usize = 4096;
/// Bytes of an object's address.
pub(crate) const KEY: usize = 8;

/// `task_storage`, `sk_storage`, `inode_storage`, `cgrp_storage`.
pub(crate) fn objects(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    hash::plain(&Spec {
        key_size: KEY,
        max_entries: entries(spec.max_entries),
        values: spec.values.clone(),
        ..*spec
    })
}

/// As a definition leaves the number open.
pub(crate) fn entries(asked: usize) -> usize {
    if asked == 0 { OBJECTS } else { asked }
}

/// `cgroup_storage` and `percpu_cgroup_storage`: one value, that of the cgroup that the program is attached to.
struct Attached(Box<dyn Store>);

pub(crate) fn attached(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    one(spec, array::plain)
}

pub(crate) fn attached_percpu(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    one(spec, array::percpu)
}

fn one(
    spec: &Spec,
    make: fn(&Spec) -> Result<Box<dyn Store>, Error>,
) -> Result<Box<dyn Store>, Error> {
    let array = make(&Spec {
        key_size: 4,
        max_entries: 1,
        values: spec.values.clone(),
        ..*spec
    })?;
    Ok(Box::new(Attached(array)))
}

const FIRST: [u8; 4] = [0; 4];

impl Store for Attached {
    unsafe fn lookup(&self, cpu: usize, _key: *const u8) -> *mut u8 {
        // SAFETY: the array's keys have 4 bytes.
        unsafe { self.0.lookup(cpu, FIRST.as_ptr()) }
    }

    unsafe fn update(&self, cpu: usize, _key: *const u8, value: *const u8, how: u64) -> i64 {
        if how & !maps::flags::LOCK == maps::flags::NOEXIST {
            return maps::err(libc::EINVAL);
        }
        // SAFETY: as above; the value by the contract.
        unsafe { self.0.update(cpu, FIRST.as_ptr(), value, how) }
    }

    unsafe fn delete(&self, _key: *const u8) -> i64 {
        maps::err(libc::EINVAL)
    }

    fn extents(&self) -> Vec<(u64, u64)> {
        self.0.extents()
    }

    fn span(&self, address: u64) -> Option<Span> {
        self.0.span(address)
    }

    fn percpu(&self) -> bool {
        self.0.percpu()
    }

    fn array(&self) -> Option<ArrayLayout> {
        None
    }
}
