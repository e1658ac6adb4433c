//! Kernel functions (kfuncs) that run in process: name, declaration and function together, one file a group.
//!
//! The declaration is C as the kernel has it, parameter names included: suffixes such as `__szk` mean
//! what the kernel's Documentation/bpf/kfuncs.rst says. [`types`] makes BTF of all declarations, so that programs
//! can be verified without a kernel's types; flags and what a prototype does not say are the rows of `platform`.
//!
//! **Invariant:** a function here does what Linux's does, error numbers included.
//!
//! **Invariant:** functions follow only pointers that their declaration promises.

mod arena;
mod bits;
mod call;
mod declare;
mod dynptr;
mod exception;
mod list;
mod num;
mod object;
mod region;
mod string;
#[cfg(test)]
mod tests;
mod tree;
mod user;

use probity_btf::{Btf, Kind, TypeId};
use probity_platform::{KfuncFlag, KfuncSpecial, Platform};

use crate::HelperFn;

pub use call::call_kfunc;
pub use declare::{KfuncArg, is_declaration, types, types_with};

/// One kernel function, or one of a host's own ([`crate::Options::functions`]).
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// As the kernel's types and the row of `platform` have it.
    pub name: &'static str,
    /// Result and parameters in C: `int (struct bpf_iter_num *it, int start, int end)`.
    pub declaration: &'static str,
    pub function: HelperFn,
}

const fn entry(name: &'static str, declaration: &'static str, function: HelperFn) -> Entry {
    Entry {
        name,
        declaration,
        function,
    }
}

const GROUPS: &[&[Entry]] = &[
    num::ENTRIES,
    region::ENTRIES,
    exception::ENTRIES,
    dynptr::ENTRIES,
    object::ENTRIES,
    list::ENTRIES,
    tree::ENTRIES,
    arena::ENTRIES,
    bits::ENTRIES,
    string::ENTRIES,
    user::ENTRIES,
];

/// Structures that declarations point to and programs keep in their own memory, with their sizes: multiples of 8; and contexts.
const STRUCTS: &[(&str, u32)] = &[
    ("bpf_iter_bits", 16),
    ("bpf_iter_num", 8),
    ("bpf_dynptr", 16),
    ("bpf_list_head", 16),
    ("bpf_list_node", 24),
    ("bpf_rb_root", 16),
    ("bpf_rb_node", 32),
    ("__sk_buff", 192),
    ("xdp_md", 24),
];

/// Every kernel function that runs in process.
pub fn all() -> impl Iterator<Item = &'static Entry> {
    GROUPS.iter().flat_map(|g| g.iter())
}

pub fn find(name: &str) -> Option<&'static Entry> {
    all().find(|e| e.name == name)
}

/// A kernel function bound to its function here.
#[derive(Clone)]
pub struct BoundKfunc {
    /// Of its `FUNC` in the platform's types.
    pub id: u32,
    pub name: &'static str,
    pub function: HelperFn,
    pub args: Vec<KfuncArg>,
    /// Gives a pointer.
    pub pointer: bool,
    /// Ends the program: an engine looks at [`crate::Call::take_thrown`] afterwards.
    pub throws: bool,
}

impl BoundKfunc {
    /// The function behind a type id of the platform's; `Err` says why there is none.
    pub(crate) fn new(platform: &Platform, id: u32, host: &[Entry]) -> Result<BoundKfunc, Unbound> {
        let known = platform.types.as_deref();
        let name = known.map(|t| t.name(TypeId(id))).unwrap_or_default();
        let (own, theirs) = (find(name), host.iter().find(|e| e.name == name));
        let Some(entry) = own.or(theirs) else {
            return Err(Unbound::Missing(match name {
                "" => format!("kernel function {id}"),
                name => format!("kernel function `{name}`"),
            }));
        };
        let (Some(declared), Some(known)) = (declare::parse(entry.declaration), known) else {
            return Err(Unbound::Missing(format!("kernel function `{name}`")));
        };
        let linux = Platform::linux(probity_platform::NEWEST, None);
        let row = platform.kfunc(name);
        let same = match own {
            Some(_) => row.zip(linux.kfunc(name)).is_some_and(|(a, b)| {
                let same = |f: &KfuncFlag| *f == KfuncFlag::AnyLicense || b.flags.contains(f);
                a.special == b.special && a.flags.iter().all(same)
            }),
            // What a host's function does is all in its declaration.
            None => row.is_some_and(|r| {
                let plain = [KfuncFlag::AnyLicense, KfuncFlag::OneWay];
                let executes = |f: &KfuncFlag| matches!(f, KfuncFlag::Executes(_));
                // Another extension's function reads and writes what it is handed.
                let exported = r.flags.iter().any(executes);
                r.special.is_none()
                    && r.flags.iter().all(|f| plain.contains(f) || executes(f))
                    && r.has(KfuncFlag::OneWay) != exported
                    && !declared.pointer()
            }),
        };
        if !same || !compatible(entry, known, TypeId(id)) {
            let whose = if own.is_some() { "Linux" } else { "the host" };
            return Err(Unbound::Foreign(format!(
                "the prototype of {name} differs from {whose}'s"
            )));
        }
        Ok(BoundKfunc {
            id,
            name: entry.name,
            function: entry.function,
            args: declared.args(),
            pointer: declared.pointer(),
            throws: row.is_some_and(|r| r.special == Some(KfuncSpecial::Throw)),
        })
    }
}

/// Why a kernel function is not to be had.
pub(crate) enum Unbound {
    Missing(String),
    Foreign(String),
}

/// Whether what the proof took for the prototype is the one that is declared here.
fn compatible(entry: &Entry, known: &Btf, id: TypeId) -> bool {
    let types = declare::types_of([entry]);
    let Some(ours) = types.find(entry.name, Kind::Func) else {
        return false;
    };
    let (Some(a), Some(b)) = (types.proto(ours), known.proto(id)) else {
        return false;
    };
    probity_btf::core::types_are_compatible(&types, a, known, b).unwrap_or(false)
}
