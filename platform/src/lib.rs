//! Rows: helpers, map kinds, program kinds with context layouts, limits, versions; [`Policy`] narrows them.
//!
//! **Invariant:** rows only; nothing here knows how anything is checked or run.
//!
//! **Invariant:** whatever a verdict depends on besides the object and the policy is in [`Platform`].

mod display;
mod helper;
mod hooks;
mod kfunc;
mod managed;
mod map;
mod policy;
mod program;
mod target;

pub mod linux;

pub use linux::{NEWEST, OLDEST};

use std::collections::BTreeSet;
use std::{fmt, sync::Arc};

use probity_btf::Btf;

pub use helper::*;
pub use hooks::*;
pub use kfunc::*;
pub use managed::*;
pub use map::*;
pub use policy::*;
pub use program::*;
pub use target::*;

/// A kernel version in which a row first appeared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u16, pub u16);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Everything a verdict depends on besides the object and the policy.
#[derive(Clone, Debug)]
pub struct Platform {
    /// For people: `linux 6.18`, `in-process`.
    pub name: String,
    pub version: Version,
    /// Ascending by `id`.
    pub helpers: Arc<[Helper]>,
    /// Ascending by `kind`.
    pub map_kinds: Arc<[MapKind]>,
    /// Ascending by `kind`.
    pub prog_kinds: Arc<[ProgKind]>,
    /// Ascending by name.
    pub kfuncs: Arc<[Kfunc]>,
    /// Structures that contexts and helpers lead to.
    pub structs: Arc<[Struct]>,
    /// Structures as programs see them, and the kernel's that they stand for: one is taken for the other.
    pub projections: &'static [(&'static str, &'static str)],
    pub targets: Targets,
    /// Functions of the running kernel that are open to error injection, where that is known
    /// (`error_injection/list` of its debugfs): `fmod_ret` programs may replace them, sleepable ones attach.
    pub injectable: Option<Arc<BTreeSet<String>>>,
    pub managed: ManagedTypes,
    pub limits: Limits,
    /// Types of the kernel or host: CO-RE target, kfunc prototypes, BTF-typed pointers.
    pub types: Option<Arc<Btf>>,
    /// Program kinds of tracing may read through typed kernel pointers and call tracing helpers.
    pub privileged: bool,
    /// Privileged programs may read stack bytes that were never written.
    pub uninit_stack: bool,
}

/// Bounds that the verifier enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Slots of one program with its subprograms.
    pub program_slots: usize,
    /// Instructions that the verifier visits before it gives up.
    pub processed: usize,
    /// Bytes of stack over one chain of calls.
    pub stack_bytes: usize,
    /// Frames on one chain of calls.
    pub frames: usize,
    pub subprograms: usize,
    pub maps: usize,
    /// How often the `may_goto`s of one call of a function go on at most; `None`: until some time has passed.
    pub may_goto_turns: Option<u64>,
}

/// The names in a list of functions open to error injection: the first word of each line.
pub fn parse_injectable(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_string)
        .collect()
}

/// The row of this number among ascending ones: where it stands if none before it is missing, or further to the front.
fn by_number<T>(rows: &[T], number: u32, of: impl Fn(&T) -> u32) -> Option<&T> {
    let first = of(rows.first()?);
    let place = number.checked_sub(first)? as usize;
    match rows.get(place) {
        Some(row) if of(row) == number => Some(row),
        _ => {
            let before = rows.get(..place).unwrap_or(rows);
            let found = before.binary_search_by_key(&number, of).ok()?;
            before.get(found)
        }
    }
}

impl Platform {
    pub fn helper(&self, id: u32) -> Option<&Helper> {
        by_number(&self.helpers, id, |h| h.id)
    }

    /// Whether `arg:TAG` says something of a global function's parameter.
    pub fn knows_parameter_tag(&self, tag: &str) -> bool {
        let rows = linux::PARAMETER_TAGS.iter();
        rows.into_iter()
            .any(|(name, since)| *name == tag && self.version >= *since)
    }

    pub fn helper_by_name(&self, name: &str) -> Option<&Helper> {
        let short = name.strip_prefix("bpf_").unwrap_or(name);
        self.helpers.iter().find(|h| h.name == short)
    }

    pub fn kfunc(&self, name: &str) -> Option<&Kfunc> {
        let at = self.kfuncs.binary_search_by_key(&name, |k| k.name).ok()?;
        self.kfuncs.get(at)
    }

    pub fn map_kind(&self, kind: u32) -> Option<&MapKind> {
        by_number(&self.map_kinds, kind, |k| k.kind)
    }

    pub fn prog_kind(&self, kind: u32) -> Option<&ProgKind> {
        by_number(&self.prog_kinds, kind, |k| k.kind)
    }

    pub fn prog_kind_by_name(&self, name: &str) -> Option<&ProgKind> {
        self.prog_kinds.iter().find(|k| k.name == name)
    }

    pub fn map_kind_by_name(&self, name: &str) -> Option<&MapKind> {
        self.map_kinds.iter().find(|k| k.name == name)
    }

    /// Whether this version knows the attach type (`enum bpf_attach_type`).
    pub fn has_attach_type(&self, attach: u32) -> bool {
        linux::kinds::attach_since(attach).is_some_and(|since| since <= self.version)
    }

    pub fn structure(&self, name: &str) -> Option<&Struct> {
        self.structs.iter().find(|s| s.name == name)
    }
}
