//! Rows about hooks that the kernel's types describe: what of their arguments the types do not say.

use crate::Version;

/// A kernel structure of function pointers whose members programs may implement (`struct_ops`).
#[derive(Clone, Copy, Debug)]
pub struct StructOps {
    /// Of the kernel's structure.
    pub name: &'static str,
    pub since: Version,
    /// Function pointers that the kernel never calls programs for.
    pub unsupported: &'static [&'static str],
    /// Members whose programs may sleep; `None`: all.
    pub sleepable: Option<&'static [&'static str]>,
    /// The function that stands in for a member is named by one of these and the member's name;
    /// suffixes of its parameters' names say more about the arguments.
    pub stubs: &'static [&'static str],
    /// Helpers that its programs may call, in groups, by name without `bpf_`.
    pub helpers: &'static [&'static [&'static str]],
    /// Members whose programs may not call these helpers.
    pub without: &'static [(&'static str, &'static [&'static str])],
    /// Arguments that point to the first structure are taken for pointers to the second, which begins with it.
    pub promoted: &'static [(&'static str, &'static str)],
    /// Arguments (member, index) that point to something other than a structure, and the structure that they are taken for.
    pub retyped: &'static [(&'static str, usize, &'static str)],
    pub writable: &'static [Writable],
}

/// A field of a kernel structure that programs may write.
#[derive(Clone, Copy, Debug)]
pub struct Writable {
    pub structure: &'static str,
    /// Path of the member; empty: the whole structure.
    pub field: &'static str,
    /// Bytes at the field's start that stay as they are.
    pub head: u32,
    /// Bytes at the field's end that stay as they are (the NUL of a string).
    pub tail: u32,
}

/// Structures that programs of some kinds may write to, other than by their `struct_ops`.
#[derive(Clone, Copy, Debug)]
pub struct WritableIn {
    /// `enum bpf_prog_type`.
    pub kinds: &'static [u32],
    pub fields: &'static [Writable],
}

/// An iterator (`iter/NAME`): what its arguments after the first are.
#[derive(Clone, Copy, Debug)]
pub struct Iterator {
    pub name: &'static str,
    /// By the argument's index.
    pub args: &'static [(usize, IteratorArg)],
}

/// What an iterator's argument is where it is no number. All are NULL at the end of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IteratorArg {
    /// The structure of its type.
    Structure { trusted: bool },
    /// Bytes of a map's key or value, as many as the map that it is attached to has.
    Bytes { writable: bool },
}

/// Arguments of a tracepoint that are not what their types say, as sets of bits.
#[derive(Clone, Copy, Debug)]
pub struct TracepointArgs {
    pub name: &'static str,
    /// Bit n: argument n may be NULL.
    pub nullable: u32,
    /// Bit n: argument n may be an error number instead of a pointer.
    pub error: u32,
}

/// A function whose return value `fmod_ret` programs may replace, beside those open to error injection.
#[derive(Clone, Copy, Debug)]
pub struct Replaceable {
    pub name: &'static str,
    /// Sleepable programs may attach to it.
    pub sleepable: bool,
}

impl StructOps {
    /// May the program of this member call the helper?
    pub fn allows(&self, member: &str, helper: &str) -> bool {
        self.helpers.iter().any(|g| g.contains(&helper))
            && !self
                .without
                .iter()
                .any(|(m, helpers)| *m == member && helpers.contains(&helper))
    }

    /// The structure that a pointer argument to `structure` is taken to point to.
    pub fn promote<'a>(&self, structure: &'a str) -> &'a str {
        self.promoted
            .iter()
            .find(|(from, _)| *from == structure)
            .map_or(structure, |(_, to)| to)
    }
}
