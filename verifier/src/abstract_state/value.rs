//! What is known of one register or stack slot: nothing, a number, or a pointer into a region.
//!
//! - **Element:** [`Value::Uninit`], [`Value::Number`] or [`Value::Pointer`].
//! - **Order:** [`crate::cover`] says when one value covers another; `Uninit` is top, since nothing may read it.
//! - A number is a [`Scalar`] with a *link* (numbers of one link differ by known constants) and an *origin*
//!   (a node of the [`crate::origin`] graph, through which later uses mark its value as needed).
//! - A pointer is `region base + off + var`: a constant and a [`Scalar`].
//!
//! **Invariant:** a pointer that may be NULL has no offset but the one it was given when it was made.

use std::fmt;

use probity_domains::Scalar;

use crate::object::DynptrKind;
use crate::origin::Origin;

/// Identity shared by copies: of links, of NULL checks, of packet bases, of references. 0 is none.
pub(crate) type Id = u32;

/// Marks the links and bases that say how far a value is from the one that a loop's head had
/// ([`crate::induction`]).
pub(crate) const HEAD: Id = 1 << 31;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    /// Never written, or clobbered.
    Uninit,
    Number(Number),
    Pointer(Pointer),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Number {
    pub set: Scalar,
    /// Numbers with the same link are equal once their `add` is subtracted. 0: linked to nothing.
    pub link: Id,
    pub add: i64,
    pub origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pointer {
    pub to: To,
    /// Bytes from the region's start.
    pub off: i64,
    /// Added to `off`; signed.
    pub var: Scalar,
    /// May be NULL until a check of any copy with the same `id` says otherwise.
    pub null: bool,
    /// Of NULL checks, or of the packet base.
    pub id: Id,
    /// For packet pointers: bytes known to be there after base + `var`.
    pub range: u32,
    /// The reference it carries, to be released; 0: none.
    pub reference: Id,
    /// What it lies in and ends with, other than a reference: a dynptr; 0: nothing.
    pub parent: Id,
    /// Pointers with the same base have the same variable part: they differ by `off` alone. 0: not known.
    pub base: Id,
}

/// A map of the object, or the map that a map-in-map holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MapRef {
    /// As instructions name it: values are copied all the time, and this is half of what an index takes.
    pub index: u32,
    pub inner: bool,
}

impl MapRef {
    pub(crate) fn index(self) -> usize {
        self.index as usize
    }
}

/// What a pointer points into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Context,
    /// The stack of a frame, counted from the outermost; offsets count from its frame pointer.
    Stack {
        frame: usize,
    },
    Map(MapRef),
    MapKey(MapRef),
    MapValue(MapRef),
    Packet,
    PacketMeta,
    PacketEnd,
    /// Memory of a known size that a helper returned or a prototype promises.
    Memory {
        size: u32,
        writable: bool,
    },
    /// Bytes of which no more is known here than that what attaches the program sees to their number:
    /// a map's key or value that an iterator gives, or the record of a writable tracepoint.
    Buffer {
        writable: bool,
        /// Helpers take it.
        helpers: bool,
    },
    /// Memory of a dynptr; `packet`: gone when the packet changes.
    Slice {
        size: u32,
        writable: bool,
        packet: bool,
    },
    /// A dynptr that is no object on the program's stack: a subprogram's argument.
    Dynptr {
        kind: DynptrKind,
    },
    /// Memory of a ring buffer reservation.
    Record {
        size: u32,
    },
    /// `struct bpf_sock` and its like.
    Socket(Socket),
    FlowKeys,
    /// A kernel structure (type id in the platform's types).
    Kernel {
        type_id: u32,
        trust: Trust,
    },
    /// A structure of the program's own types (type id in the object's types) that the program allocated
    /// (`bpf_obj_new`), or that a list or tree gave back.
    Allocated {
        type_id: u32,
        hold: Hold,
        /// One for each CPU: an address that a helper makes a pointer of.
        percpu: bool,
    },
    /// A kernel's variable that each CPU has, of this type.
    PerCpu {
        type_id: u32,
    },
    /// Somewhere in the program's arena.
    Arena,
    /// A subprogram, by its index.
    Function(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    Sock,
    SockCommon,
    TcpSock,
    XdpSock,
}

/// What keeps an allocated structure alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// The program, which must release it or give it away.
    Owning,
    /// A list or tree, as long as its lock is held; with `counted`, the RCU read section too.
    Borrowed { counted: bool },
    /// The RCU read section.
    Rcu,
    /// Nothing: it may be read (a fault gives 0).
    Untrusted,
    /// Nothing any more: the RCU read section in which it was found has ended.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// May be handed to helpers.
    Trusted,
    /// Alive while the RCU read section lasts.
    Rcu,
    /// From the program's context, or found behind such a pointer: may be handed to helpers.
    Plain,
    /// May be read (a fault gives 0), nothing else.
    Untrusted,
}

impl Trust {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Trust::Trusted => "trusted",
            Trust::Rcu => "under RCU protection",
            Trust::Plain => "not known to be trusted",
            Trust::Untrusted => "untrusted",
        }
    }
}

impl Value {
    /// Any number, which nothing needs.
    pub(crate) const IDLE: Value = Value::Number(Number {
        set: Scalar::unknown(),
        link: 0,
        add: 0,
        origin: Origin::IDLE,
    });

    pub(crate) fn number(set: Scalar) -> Value {
        Value::Number(Number {
            set,
            link: 0,
            add: 0,
            origin: Origin::NONE,
        })
    }

    pub(crate) fn constant(x: u64) -> Value {
        Value::number(Scalar::constant(x))
    }

    pub(crate) fn unknown() -> Value {
        Value::number(Scalar::unknown())
    }

    pub(crate) fn pointer(to: To) -> Value {
        Value::Pointer(Pointer::new(to))
    }

    pub(crate) fn as_number(&self) -> Option<&Number> {
        match self {
            Value::Number(n) => Some(n),
            _ => None,
        }
    }

    pub(crate) fn as_pointer(&self) -> Option<&Pointer> {
        match self {
            Value::Pointer(p) => Some(p),
            _ => None,
        }
    }

    /// The only number that it can be.
    pub(crate) fn as_constant(&self) -> Option<u64> {
        self.as_number().and_then(|n| n.set.as_constant())
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.as_constant() == Some(0)
    }

    pub(crate) fn is_init(&self) -> bool {
        !matches!(self, Value::Uninit)
    }

    /// A number's.
    #[inline]
    pub(crate) fn origin(&self) -> Option<Origin> {
        self.as_number().map(|n| n.origin)
    }

    /// A number gets another origin.
    #[inline]
    pub(crate) fn renumber(&mut self, other: &mut impl FnMut(Origin) -> Origin) {
        if let Value::Number(n) = self {
            n.origin = other(n.origin);
        }
    }
}

impl Pointer {
    pub(crate) fn new(to: To) -> Pointer {
        Pointer {
            to,
            off: 0,
            var: Scalar::constant(0),
            null: false,
            id: 0,
            range: 0,
            reference: 0,
            parent: 0,
            base: 0,
        }
    }

    pub(crate) fn or_null(self, id: Id) -> Pointer {
        Pointer {
            null: true,
            id,
            ..self
        }
    }

    pub(crate) fn is_packet(&self) -> bool {
        matches!(self.to, To::Packet | To::PacketMeta)
    }

    /// The offset from the region's start, when it is one number.
    pub(crate) fn constant_offset(&self) -> Option<i64> {
        Some(self.off.wrapping_add(self.var.as_constant()? as i64))
    }

    /// Least and greatest offset.
    pub(crate) fn offset_range(&self) -> (i128, i128) {
        let off = i128::from(self.off);
        (
            off + i128::from(self.var.smin()),
            off + i128::from(self.var.smax()),
        )
    }
}

impl To {
    /// For people.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            To::Context => "the context",
            To::Stack { .. } => "the stack",
            To::Map(_) => "a map",
            To::MapKey(_) => "a map key",
            To::MapValue(_) => "a map value",
            To::Packet => "the packet",
            To::PacketMeta => "the packet's metadata",
            To::PacketEnd => "the end of the packet",
            To::Memory { .. } => "memory",
            To::Buffer { .. } => "a buffer",
            To::Slice { .. } => "memory of a dynptr",
            To::Dynptr { .. } => "a dynptr",
            To::Record { .. } => "a ring buffer record",
            To::Socket(_) => "a socket",
            To::FlowKeys => "flow keys",
            To::Kernel { .. } => "a kernel structure",
            To::Allocated { .. } => "an allocated structure",
            To::PerCpu { .. } => "a variable of each CPU",
            To::Arena => "the arena",
            To::Function(_) => "a function",
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Uninit => f.write_str("uninitialised"),
            Value::Number(n) => {
                write!(f, "{}", Known(&n.set))?;
                match (n.link, n.add) {
                    (0, _) => Ok(()),
                    (id, 0) => write!(f, " #{id}"),
                    (id, add) => write!(f, " #{id}{add:+}"),
                }
            }
            Value::Pointer(p) => write!(f, "{p}"),
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to {
            To::Context => f.write_str("ctx")?,
            To::Stack { frame } => write!(f, "fp{frame}")?,
            To::Map(m) => write!(f, "map({m})")?,
            To::MapKey(m) => write!(f, "map_key({m})")?,
            To::MapValue(m) => write!(f, "map_value({m})")?,
            To::Packet => f.write_str("pkt")?,
            To::PacketMeta => f.write_str("pkt_meta")?,
            To::PacketEnd => f.write_str("pkt_end")?,
            To::Memory { size, writable } => {
                write!(f, "{}mem({size})", if writable { "" } else { "rdonly_" })?
            }
            To::Buffer { writable, .. } => {
                f.write_str(if writable { "buf" } else { "rdonly_buf" })?
            }
            To::Slice { size, packet, .. } => {
                let of = if packet { "packet_" } else { "" };
                write!(f, "{of}slice({size})")?
            }
            To::Dynptr { kind } => write!(f, "dynptr({kind:?})")?,
            To::Record { size } => write!(f, "ringbuf_mem({size})")?,
            To::Socket(Socket::Sock) => f.write_str("sock")?,
            To::Socket(Socket::SockCommon) => f.write_str("sock_common")?,
            To::Socket(Socket::TcpSock) => f.write_str("tcp_sock")?,
            To::Socket(Socket::XdpSock) => f.write_str("xdp_sock")?,
            To::FlowKeys => f.write_str("flow_keys")?,
            To::Kernel { type_id, trust } => {
                let word = match trust {
                    Trust::Trusted => "trusted_",
                    Trust::Rcu => "rcu_",
                    Trust::Plain => "",
                    Trust::Untrusted => "untrusted_",
                };
                write!(f, "{word}ptr(type {type_id})")?
            }
            To::Allocated {
                type_id,
                hold,
                percpu,
            } => {
                let percpu = if percpu { "percpu_" } else { "" };
                let hold = match hold {
                    Hold::Owning => "",
                    Hold::Borrowed { .. } => "non_own_",
                    Hold::Rcu => "rcu_",
                    Hold::Untrusted => "untrusted_",
                    Hold::Lost => "lost_",
                };
                write!(f, "{percpu}{hold}alloc(type {type_id})")?
            }
            To::PerCpu { type_id } => write!(f, "percpu_ptr(type {type_id})")?,
            To::Arena => f.write_str("arena")?,
            To::Function(n) => write!(f, "func({n})")?,
        }
        if self.off != 0 {
            write!(f, "{:+}", self.off)?;
        }
        if self.var.as_constant() != Some(0) {
            write!(f, "+{}", Known(&self.var))?;
        }
        if self.null {
            f.write_str(" or null")?;
        }
        if self.is_packet() {
            write!(f, " range={}", self.range)?;
        }
        if self.id != 0 {
            write!(f, " id={}", self.id)?;
        }
        if self.reference != 0 {
            write!(f, " ref={}", self.reference)?;
        }
        if self.parent != 0 {
            write!(f, " in={}", self.parent)?;
        }
        Ok(())
    }
}

impl fmt::Display for MapRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}",
            self.index,
            if self.inner { " inner" } else { "" }
        )
    }
}

/// What is known of a number, in the words of the kernel's log: only what says something.
pub(crate) struct Known<'a>(pub &'a Scalar);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0;
        if let Some(x) = s.as_constant() {
            return match x as i64 {
                x @ -4096..=65535 => write!(f, "{x}"),
                _ => write!(f, "{x:#x}"),
            };
        }
        if s.is_unknown() {
            return f.write_str("any number");
        }
        let mut words = Vec::new();
        if s.umin() != 0 || s.smin() == 0 && s.umax() == u64::MAX {
            words.push(format!("umin={}", s.umin()));
        }
        if s.umax() != u64::MAX {
            words.push(format!("umax={}", s.umax()));
        }
        if s.smin() != i64::MIN && (s.smin() < 0 || s.umin() as i64 != s.smin()) {
            words.push(format!("smin={}", s.smin()));
        }
        if s.smax() != i64::MAX && s.smax() as u64 != s.umax() {
            words.push(format!("smax={}", s.smax()));
        }
        if (s.u32_min() != 0 || s.u32_max() != u32::MAX) && s.umax() > u64::from(u32::MAX) {
            words.push(format!("low32={}..={}", s.u32_min(), s.u32_max()));
        }
        let (value, mask) = (s.tnum().value(), s.tnum().mask());
        let plain = u64::MAX.checked_shr(s.umax().leading_zeros()).unwrap_or(0);
        if value != 0 || mask != plain {
            words.push(format!("bits={value:#x}/{mask:#x}"));
        }
        match words.is_empty() {
            true => f.write_str("any number"),
            false => write!(f, "{{{}}}", words.join(" ")),
        }
    }
}
