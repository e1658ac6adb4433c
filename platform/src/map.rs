//! Map kinds and what may be done with each.

use crate::Version;

/// One map kind.
#[derive(Clone, Debug)]
pub struct MapKind {
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// `array`, `percpu_hash`, …
    pub name: &'static str,
    /// Helpers (by name, without `bpf_`) that may take such a map.
    pub helpers: &'static [&'static str],
    /// Helpers that may take it in some program kinds only.
    pub helpers_in: &'static [(&'static [u32], &'static [&'static str])],
    /// Helpers that may take it in programs with some attach types (`enum bpf_attach_type`) only.
    pub helpers_at: &'static [(&'static [u32], &'static [&'static str])],
    /// The kernel's structure behind it, whose fields programs may read; empty: none.
    pub structure: &'static str,
    /// Sizes in bytes that keys and values may have.
    pub key_sizes: Sizes,
    pub value_sizes: Sizes,
    /// Its memory is an arena, shared with the loader.
    pub arena: bool,
    /// Direct value addresses (`BPF_PSEUDO_MAP_VALUE`) are allowed.
    pub direct_value: bool,
    /// Values can be looked up and accessed by pointer.
    pub value_access: bool,
    /// Lookup with an in-range constant key cannot fail (array kinds).
    pub dense: bool,
    /// Lookup gives a map.
    pub inner_map: bool,
    pub percpu: bool,
    /// What the helpers that take a value ([`crate::ArgKind::MapValue`]) take.
    pub values: Values,
    /// What a lookup gives.
    pub lookup: Lookup,
    /// Sleepable programs may use it.
    pub sleepable: bool,
    /// `BPF_F_RDONLY_PROG` and `BPF_F_WRONLY_PROG` may be set.
    pub access_flags: bool,
    pub since: Version,
}

/// Sizes in bytes that the keys or the values of a map kind may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// Both ends included.
    Range {
        min: u32,
        max: u32,
    },
    OneOf(&'static [u32]),
    /// Multiples of 8; both ends included.
    Words {
        min: u32,
        max: u32,
    },
}

impl Sizes {
    pub fn contains(self, size: u32) -> bool {
        match self {
            Sizes::Range { min, max } => (min..=max).contains(&size),
            Sizes::OneOf(sizes) => sizes.contains(&size),
            Sizes::Words { min, max } => (min..=max).contains(&size) && size.is_multiple_of(8),
        }
    }
}

/// What a map kind takes where a helper's prototype says map value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Memory of the map's value size, as the prototype says.
    Memory,
    /// Memory of the map's value size that is only read, even by map_peek_elem (bloom filters).
    Read,
    /// A socket, as [`crate::ArgKind::SockCommon`] with `btf` (maps of sockets).
    Sockets,
}

/// What a lookup in a map gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// A program cannot look up in it.
    Nothing,
    /// A value of the map's value size, or NULL.
    Value,
    /// A map like the inner map, or NULL.
    Map,
    /// `struct bpf_xdp_sock`, or NULL.
    XdpSock,
    /// A socket, or NULL, whose reference must be released.
    Socket,
}

impl MapKind {
    /// May this helper take such a map in programs with this attach type?
    pub fn allows_at(&self, helper: &str, attach: Option<u32>) -> bool {
        self.helpers_at.iter().any(|(attaches, names)| {
            attach.is_some_and(|a| attaches.contains(&a)) && names.contains(&helper)
        })
    }

    /// May this helper take such a map in programs of this kind (`enum bpf_prog_type`)?
    pub fn allows(&self, helper: &str, prog_kind: u32) -> bool {
        self.helpers.contains(&helper)
            || self
                .helpers_in
                .iter()
                .any(|(kinds, names)| kinds.contains(&prog_kind) && names.contains(&helper))
    }
}
