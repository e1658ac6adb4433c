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
    /// Keys a program may use: fixed size in bytes where the kind demands one.
    pub key_size: Option<u32>,
    pub value_size: Option<u32>,
    /// Direct value addresses (`BPF_PSEUDO_MAP_VALUE`) are allowed.
    pub direct_value: bool,
    /// Values can be looked up and accessed by pointer.
    pub value_access: bool,
    /// Lookup with an in-range constant key cannot fail (array kinds).
    pub dense: bool,
    /// Lookup gives a map.
    pub inner_map: bool,
    pub percpu: bool,
    pub since: Version,
}
