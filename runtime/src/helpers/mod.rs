//! Helpers that run in process: number, name and function together, one file a group.
//!
//! **Invariant:** a helper here does what Linux's does, error numbers included, with the call's
//! [`crate::Env`] in the place of the kernel.
//!
//! **Invariant:** helpers follow only pointers that their row promises; all others are read
//! through the environment.

mod cgroup;
pub(crate) mod dynptr;
mod map;
pub(crate) mod net;
mod object;
mod output;
mod print;
pub(crate) mod probe;
mod ring;
mod storage;
mod string;
mod task;
mod timer;

use std::slice;

use crate::arena;
use crate::{Answer, Call, Env, HelperFn};

/// One helper.
#[derive(Clone, Copy)]
pub struct Entry {
    /// `enum bpf_func_id`.
    pub id: u32,
    /// Without `bpf_`, as the row of `platform` has it.
    pub name: &'static str,
    pub function: HelperFn,
    /// It only gives this, and the call keeps it.
    pub answer: Option<Answer>,
    /// What it does can be done without it where its arguments are known.
    pub inline: Option<Inline>,
}

/// Helpers whose work is small enough to be done where they are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inline {
    /// r1, so many bytes as r2 says, beside the constant string r3: the first byte that differs decides, and both end with a NUL.
    Compare,
    /// To r1 so many bytes as r2 says from r3; where these lie in one value of a map, nothing else is asked, and it gives 0.
    Read,
    /// The 4-byte word so far before what r1 points to keeps the bits of `keep` and gets those of `set`, in one store with release;
    /// it gives 0. Until then only who calls writes the word.
    Finish { before: u32, keep: u32, set: u32 },
}

impl Inline {
    /// It may read memory of any kind that the program knows.
    pub fn reads(self) -> bool {
        match self {
            Inline::Compare | Inline::Read => true,
            Inline::Finish { .. } => false,
        }
    }
}

const fn entry(id: u32, name: &'static str, function: HelperFn) -> Entry {
    Entry {
        id,
        name,
        function,
        answer: None,
        inline: None,
    }
}

/// A helper that gives what does not change during a call.
const fn once(id: u32, name: &'static str, function: HelperFn, answer: Answer) -> Entry {
    Entry {
        answer: Some(answer),
        ..entry(id, name, function)
    }
}

const GROUPS: &[&[Entry]] = &[
    map::ENTRIES,
    task::ENTRIES,
    probe::ENTRIES,
    print::ENTRIES,
    output::ENTRIES,
    ring::ENTRIES,
    storage::ENTRIES,
    dynptr::ENTRIES,
    net::GROUPS[0],
    net::GROUPS[1],
    net::GROUPS[2],
    net::GROUPS[3],
    net::GROUPS[4],
    net::GROUPS[5],
    net::GROUPS[6],
    cgroup::ENTRIES,
    string::ENTRIES,
    timer::ENTRIES,
    object::ENTRIES,
];

/// Every helper that runs in process.
pub fn all() -> impl Iterator<Item = &'static Entry> {
    GROUPS.iter().flat_map(|g| g.iter())
}

pub fn find(id: u32) -> Option<&'static Entry> {
    all().find(|e| e.id == id)
}

/// The result of a helper as r0.
pub(crate) const fn err(errno: i32) -> u64 {
    -(errno as i64) as u64
}

/// The environment of a call.
///
/// # Safety
/// `call` is valid.
unsafe fn env<'a>(call: *mut Call<'a>) -> &'a dyn Env {
    // SAFETY: by the contract.
    unsafe { (*call).env() }
}

/// A copy of memory that a row promised.
///
/// # Safety
/// Readable for `len` bytes.
unsafe fn bytes(address: u64, len: u64) -> Vec<u8> {
    // SAFETY: by the contract.
    unsafe { arena::read_vec(address as *const u8, len as usize) }
}

/// # Safety
/// Writable for that many bytes.
unsafe fn write(address: u64, from: &[u8]) {
    // SAFETY: by the contract.
    unsafe { arena::copy(address as *mut u8, from.as_ptr(), from.len()) }
}

/// # Safety
/// A NUL-terminated constant string.
unsafe fn c_string<'a>(address: u64) -> &'a [u8] {
    let mut len = 0;
    // SAFETY: by the contract there is a NUL, and nothing writes to the string.
    unsafe {
        while *(address as *const u8).add(len) != 0 {
            len += 1;
        }
        slice::from_raw_parts(address as *const u8, len)
    }
}
