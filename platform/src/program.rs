//! Program kinds: context layouts, return ranges, which helpers they may call.

use crate::Version;

/// One program kind.
#[derive(Clone, Debug)]
pub struct ProgKind {
    /// `enum bpf_prog_type`.
    pub kind: u32,
    /// `xdp`, `sched_cls`, …
    pub name: &'static str,
    pub context: Context,
    /// Helpers allowed, by name without `bpf_`.
    pub helpers: HelperSet,
    /// Demanded of r0 at exit, in order of precedence: the first row whose `attach` matches.
    pub returns: &'static [Returns],
    /// May run as a sleepable program (with the `.s` spellings).
    pub sleepable: bool,
    /// Legacy packet loads are allowed.
    pub packet_loads: bool,
    /// Packets may be written through direct access.
    pub packet_write: bool,
    pub since: Version,
}

/// Helpers a program kind may call.
#[derive(Clone, Copy, Debug)]
pub struct HelperSet {
    /// Names of groups that are allowed whole (`base`, `tracing`, …).
    pub groups: &'static [&'static [&'static str]],
}

impl HelperSet {
    pub fn contains(&self, name: &str) -> bool {
        self.groups.iter().any(|g| g.contains(&name))
    }
}

/// A range demanded of r0.
#[derive(Clone, Copy, Debug)]
pub struct Returns {
    /// `enum bpf_attach_type`s this row is for; empty: all.
    pub attach: &'static [u32],
    pub min: i64,
    pub max: i64,
}

/// What r1 points to at entry.
#[derive(Clone, Debug)]
pub enum Context {
    /// A structure with fields.
    Struct { name: &'static str, size: u32, fields: &'static [Field] },
    /// `size` readable bytes from `from` (tracepoints: the record, whose first 8 bytes are hidden).
    Bytes { name: &'static str, from: u32, size: u32 },
    /// An array of 64-bit arguments (raw tracepoints).
    Words { name: &'static str, count: u32 },
    /// An array of 64-bit arguments typed by the BTF prototype of the target (fentry, tp_btf, LSM, iterators, struct_ops).
    Typed,
    None,
}

/// One field of a context structure.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    pub kind: FieldKind,
    pub read: bool,
    pub write: bool,
    /// Reads of a part of the field are allowed.
    pub narrow: bool,
    /// Attach types that may access it; empty: all.
    pub attach: &'static [u32],
}

/// What a load of a field gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    Scalar,
    /// A 32-bit field that holds a pointer to the packet's first byte, …
    PacketData,
    PacketMeta,
    PacketEnd,
    /// `struct bpf_sock *`, or NULL when `nullable`.
    Socket { nullable: bool },
    SockCommon { nullable: bool },
    /// `struct bpf_flow_keys *`.
    FlowKeys,
    /// Start and end of the option value (cgroup sockopt).
    SockoptStart,
    SockoptEnd,
    /// A kernel structure.
    Btf { name: &'static str, nullable: bool },
}
