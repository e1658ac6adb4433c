//! Program kinds: context layouts, return ranges, which helpers they may call.

use std::borrow::Cow;

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
    /// Which helpers may be handed packet memory; to be written by them only with `packet_write`.
    pub packet_args: PacketArgs,
    /// `enum bpf_attach_type`s that a program of this kind may state; empty: the kind has none or takes any.
    pub attach: &'static [u32],
    /// The attach type of a program that states none.
    pub default_attach: Option<u32>,
    /// How parameters of global functions spell the context's type, beside the name of its structure.
    pub spellings: &'static [ContextSpelling],
    /// Large frames of such programs are not on the kernel's own stack.
    pub private_stack: Option<PrivateStack>,
    pub since: Version,
}

/// Where programs of a kind have a stack of their own, so that only small frames add up over a chain of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivateStack {
    /// `enum bpf_attach_type`s for which it holds; empty: all.
    pub attach: &'static [u32],
    pub since: Version,
}

/// A type that a pointer to the context may have in a global function's prototype.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextSpelling {
    /// `enum bpf_attach_type`s this row is for; empty: all.
    pub attach: &'static [u32],
    pub spelling: Spelling,
    /// Without the tag `arg:ctx` too.
    pub untagged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// A structure of this name.
    Struct(&'static str),
    /// A structure whose name begins so.
    Prefix(&'static str),
    Typedef(&'static str),
    /// An integer of 8 bytes.
    Word,
    Any,
}

impl ProgKind {
    /// The range demanded of r0 at exit, if any.
    pub fn return_range(&self, attach: Option<u32>) -> Option<&Returns> {
        let attach = attach.or(self.default_attach);
        self.returns
            .iter()
            .find(|r| r.attach.is_empty() || attach.is_some_and(|a| r.attach.contains(&a)))
    }

    /// How a global function's parameter may spell the context's type, with the tag `arg:ctx` or without.
    /// `void` with the tag is always fine.
    pub fn context_spellings(
        &self,
        attach: Option<u32>,
        tagged: bool,
    ) -> impl Iterator<Item = Spelling> + use<> {
        let name = match self.context {
            Context::Struct { name, .. } | Context::Words { name, .. } => Some(name),
            _ => None,
        };
        let attach = attach.or(self.default_attach);
        let rows = self.spellings.iter().filter(move |s| {
            (tagged || s.untagged)
                && (s.attach.is_empty() || attach.is_some_and(|a| s.attach.contains(&a)))
        });
        name.map(Spelling::Struct)
            .into_iter()
            .chain(rows.map(|s| s.spelling))
    }

    /// The field through which such an access of the context is allowed, for contexts that are structures.
    pub fn context_access(
        &self,
        offset: u32,
        size: u32,
        write: bool,
        attach: Option<u32>,
    ) -> Option<&Field> {
        let Context::Struct { fields, .. } = &self.context else {
            return None;
        };
        field_access(fields, offset, size, write, attach.or(self.default_attach))
    }
}

/// Which helpers may be handed packet memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketArgs {
    None,
    /// Those that declare [`crate::Effects::packet_access`].
    Declared,
    Any,
}

/// Helpers a program kind may call.
#[derive(Clone, Copy, Debug)]
pub struct HelperSet {
    /// Groups of names that are allowed whole (`base`, `tracing`, …).
    pub groups: &'static [&'static [&'static str]],
    /// Names allowed only under some `enum bpf_attach_type`s.
    pub by_attach: &'static [(&'static [u32], &'static [&'static str])],
    /// The kind itself, for the rows of `later`.
    pub kind: u32,
    /// What newer versions allow and this one does not yet.
    pub later: &'static [&'static [Later]],
}

/// Helpers that programs of some kinds may call only since a version.
#[derive(Clone, Copy, Debug)]
pub struct Later {
    /// `enum bpf_prog_type`s this row is for.
    pub kinds: &'static [u32],
    /// `enum bpf_attach_type`s this row is for; empty: all.
    pub attach: &'static [u32],
    /// Without `bpf_`.
    pub helpers: &'static [&'static str],
}

impl HelperSet {
    /// Allowed under at least one attach type.
    pub fn contains(&self, name: &str) -> bool {
        !self.is_later(name, None)
            && (self.groups.iter().any(|g| g.contains(&name))
                || self.by_attach.iter().any(|(_, g)| g.contains(&name)))
    }

    fn is_later(&self, name: &str, attach: Option<u32>) -> bool {
        self.later.iter().copied().flatten().any(|l| {
            l.kinds.contains(&self.kind)
                && (l.attach.is_empty() || attach.is_some_and(|a| l.attach.contains(&a)))
                && l.helpers.contains(&name)
        })
    }

    /// Allowed under this attach type; `None` when the program states none.
    pub fn allows(&self, name: &str, attach: Option<u32>) -> bool {
        let attached = |to: &[u32]| attach.is_some_and(|a| to.contains(&a));
        !self.is_later(name, attach)
            && (self.groups.iter().any(|g| g.contains(&name))
                || self
                    .by_attach
                    .iter()
                    .any(|(attaches, g)| attached(attaches) && g.contains(&name)))
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
    Struct {
        name: &'static str,
        size: u32,
        fields: Cow<'static, [Field]>,
    },
    /// `size` readable bytes from `from` (tracepoints: the record, whose first 8 bytes are hidden).
    Bytes {
        name: &'static str,
        from: u32,
        size: u32,
    },
    /// An array of 64-bit arguments (raw tracepoints), read in aligned parts of `widths`.
    Words {
        name: &'static str,
        count: u32,
        widths: Widths,
    },
    /// An array of 64-bit arguments typed by the BTF prototype of the target (fentry, tp_btf, LSM, iterators, struct_ops).
    Typed,
    /// Any memory that the caller passes, readable and writable in aligned parts, up to `size` bytes (`syscall` programs).
    Memory {
        size: u32,
    },
    None,
}

/// One field of a context or of a structure that a context leads to.
///
/// Fields may overlap; an access is allowed when one of them permits it.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    pub offset: u32,
    /// Bytes; a field longer than 8 is an array that is accessed in parts.
    pub size: u32,
    pub kind: FieldKind,
    pub read: Widths,
    pub write: Widths,
    /// Parts of the field are accessed only from its first byte.
    pub head: bool,
    /// Attach types that may access it; empty: all.
    pub attach: &'static [u32],
    pub since: Version,
    /// What may be stored in it, where it is written at all.
    pub stores: Stores,
}

/// What may be stored in a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stores {
    #[default]
    Anything,
    /// Numbers from `min` to `max`, as the bytes that are stored read, with a sign or without; no pointers.
    Numbers { signed: bool, min: i128, max: i128 },
}

/// Widths of access in bytes, of 1, 2, 4 and 8, as a set of bits: `4 | 8` is four or eight bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Widths(pub u8);

impl Widths {
    pub const NONE: Widths = Widths(0);

    pub fn contains(self, size: u32) -> bool {
        matches!(size, 1 | 2 | 4 | 8) && u32::from(self.0) & size != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Field {
    /// May a program with this attach type access `size` bytes at `offset` of the structure through this field?
    ///
    /// An access is aligned to its size and lies inside the field.
    pub fn permits(&self, offset: u32, size: u32, write: bool, attach: Option<u32>) -> bool {
        let Some(end) = offset.checked_add(size) else {
            return false;
        };
        let widths = if write { self.write } else { self.read };
        widths.contains(size)
            && offset.is_multiple_of(size)
            && offset >= self.offset
            && end <= self.offset.saturating_add(self.size)
            && (!self.head || offset == self.offset)
            && (self.attach.is_empty() || attach.is_some_and(|a| self.attach.contains(&a)))
    }
}

/// The field through which such an access of a structure is allowed.
pub fn field_access(
    fields: &[Field],
    offset: u32,
    size: u32,
    write: bool,
    attach: Option<u32>,
) -> Option<&Field> {
    fields
        .iter()
        .find(|f| f.permits(offset, size, write, attach))
}

/// A structure that loads and helpers lead to: `bpf_sock`, `bpf_tcp_sock`, `bpf_flow_keys`, `bpf_xdp_sock`.
#[derive(Clone, Debug)]
pub struct Struct {
    pub name: &'static str,
    pub size: u32,
    pub layout: Layout,
}

/// How a [`Struct`] is accessed.
#[derive(Clone, Debug)]
pub enum Layout {
    Fields(&'static [Field]),
    /// Plain readable and writable bytes.
    Bytes,
}

/// What a load of a field gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldKind {
    Scalar,
    /// A 32-bit field that holds a pointer to the packet's first byte, …
    PacketData,
    PacketMeta,
    PacketEnd,
    /// `struct bpf_sock *`, or NULL when `nullable`.
    Socket {
        nullable: bool,
    },
    SockCommon {
        nullable: bool,
    },
    /// `struct bpf_flow_keys *`.
    FlowKeys,
    /// The buffer of a writable raw tracepoint: readable and writable up to the size that its tracepoint declares.
    TracepointBuffer,
    /// Start and end of the option value (cgroup sockopt).
    SockoptStart,
    SockoptEnd,
    /// A trusted pointer to a kernel structure.
    Btf {
        name: &'static str,
        nullable: bool,
    },
}
