//! Loads and stores: where an access goes, whether it may, and what it does to the state.
//!
//! An access is resolved to a [`Place`] first (the check), and only a resolved place is read or written
//! (the transfer). Memory arguments of helpers are resolved by the same functions.
//!
//! **Invariant:** every byte that a resolved access may touch lies inside of the region, for every
//! value of the pointer's variable part.

mod transfer;

use probity_isa::{Pc, Reg};
use probity_platform::{Context, FieldKind};

use crate::env::Env;
use crate::fields;
use crate::reject::{Explain, Outcome, fail};
use crate::report::{Access, Region, Rule};
use crate::stack::STACK_BYTES;
use crate::state::State;
use crate::value::{Known, Pointer, To, Trust, Value};

pub(crate) use transfer::{clobber, load, no_leak, stack_of, store, touch_read};

/// What an instruction does to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    ReadSigned,
    Write,
    /// Reads and writes at once; aligned.
    Atomic,
}

/// A resolved access.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Lowest and highest first byte, relative to the frame pointer.
    Stack {
        frame: usize,
        low: i64,
        high: i64,
    },
    Field(FieldKind),
    /// A field to be written, that takes some numbers only.
    Within(Box<fields::Within>),
    /// Memory whose content is a known number.
    Constant(u64),
    /// A member that points to a kernel structure.
    Typed {
        type_id: u32,
        trust: Trust,
        /// May be NULL, and has to be tested.
        null: bool,
    },
    /// An argument in a typed context, a kernel pointer in a map value. Apart, since places are moved often.
    Argument(Box<Value>),
    /// A kernel pointer in a map value, to be written.
    Kptr(crate::special::Holds),
    /// Memory of which nothing is known.
    Plain,
}

impl Place {
    /// What a load gives is a pointer that comparisons take to be never NULL ([`crate::branch`]), by the kernel's word.
    fn promised(&self) -> bool {
        match self {
            Place::Field(FieldKind::Btf { nullable, .. }) => !nullable,
            Place::Typed { trust, null, .. } => !null && *trust == Trust::Trusted,
            Place::Argument(value) => match **value {
                Value::Pointer(p) => {
                    let trusted =
                        matches!(p.to, To::Kernel { trust, .. } if trust == Trust::Trusted);
                    trusted && !p.null
                }
                _ => false,
            },
            _ => false,
        }
    }
}

impl Kind {
    pub(crate) fn writes(self) -> bool {
        matches!(self, Kind::Write | Kind::Atomic)
    }

    pub(crate) fn reads(self) -> bool {
        self != Kind::Write
    }
}

/// Where `*(size *)(reg + off)` goes.
pub(crate) fn resolve(
    env: &mut Env<'_>,
    state: &State,
    pc: Pc,
    reg: Reg,
    off: i64,
    size: usize,
    kind: Kind,
) -> Outcome<Place> {
    let pointer = match state.reg(reg) {
        Value::Pointer(p) => *p,
        Value::Uninit => {
            let known = format!("{reg} was never written on some path");
            return Err(fail(
                Rule::Uninitialised,
                &format!("{reg} is initialised"),
                &known,
            )
            .about(reg));
        }
        Value::Number(n) => {
            let known = format!("{reg} is a number: {}", Known(&n.set));
            let e = fail(
                Rule::BadPointer,
                &format!("{reg} is a pointer that may be accessed"),
                &known,
            );
            return Err(e.about(reg));
        }
    };
    if pointer.null {
        let known = format!("{reg} is {} or NULL", describe(env, &pointer));
        let e = fail(Rule::NullDereference, &format!("{reg} is not NULL"), &known).about(reg);
        return Err(e.hint(&format!(
            "test it first: `if (!p) return …;` ({reg} comes from a call that may fail)"
        )));
    }
    let (place, region, offset) = region(env, state, &pointer, reg, off, size, kind)?;
    let access = Access {
        region,
        offset,
        promised: kind == Kind::Read && place.promised(),
    };
    env.record(pc, access)?;
    Ok(place)
}

fn region(
    env: &mut Env<'_>,
    state: &State,
    p: &Pointer,
    reg: Reg,
    off: i64,
    size: usize,
    kind: Kind,
) -> Outcome<(Place, Region, Option<i64>)> {
    let strict = env.options.strict_alignment || kind == Kind::Atomic;
    let at = p.constant_offset().map(|o| o.wrapping_add(off));
    match p.to {
        To::Stack { frame } => {
            aligned(p, reg, off, size, true)?;
            let (low, high) = stack_range(env, state, p, reg, off, size as i64)?;
            let region = if frame == state.depth() {
                Region::Stack
            } else {
                Region::OuterStack
            };
            Ok((Place::Stack { frame, low, high }, region, at))
        }
        To::Context => {
            aligned(p, reg, off, size, strict)?;
            if matches!(env.kind.context, Context::Typed) && p.constant_offset() == Some(0) {
                let value = crate::typed::load(env, state, reg, off, size, kind)?;
                // Engines refuse what they cannot follow with checked reads alone.
                let buffer =
                    matches!(&value, Value::Pointer(p) if matches!(p.to, To::Buffer { .. }));
                let field = match buffer {
                    true => FieldKind::TracepointBuffer,
                    false => FieldKind::Scalar,
                };
                return Ok((
                    Place::Argument(Box::new(value)),
                    Region::Context(field),
                    Some(off),
                ));
            }
            let (field, within) = fields::context(env, p, reg, off, size, kind)?;
            let place = within.map_or(Place::Field(field), Place::Within);
            Ok((place, Region::Context(field), Some(off)))
        }
        To::MapValue(map) => {
            aligned(p, reg, off, size, strict)?;
            let def = env.map(map)?;
            map_direction(env, map, reg, kind)?;
            bounds(env, p, reg, off, size as i64, i64::from(def.value_size))?;
            let managed = crate::kptr::access(env, state, p, reg, off, size as i64, kind)?;
            let region = if map.inner {
                Region::Memory
            } else {
                Region::MapValue(map.index())
            };
            if let Some(place) = managed {
                return Ok((place, region, at));
            }
            let place = match (env.frozen(map), at) {
                (Some(bytes), Some(at))
                    if !map.inner && kind == Kind::Read || kind == Kind::ReadSigned =>
                {
                    frozen_load(bytes, at, size).map_or(Place::Plain, Place::Constant)
                }
                _ => Place::Plain,
            };
            Ok((place, region, at))
        }
        To::MapKey(map) => {
            if kind.writes() {
                return Err(read_only(reg, "a map's key"));
            }
            let def = env.map(map)?;
            bounds(env, p, reg, off, size as i64, i64::from(def.key_size))?;
            Ok((Place::Plain, Region::Memory, at))
        }
        To::Packet | To::PacketMeta => {
            aligned(p, reg, off, size, strict)?;
            if kind.writes() && !env.kind.packet_write {
                let known = format!("`{}` programs may only read it", env.kind.name);
                return Err(fail(Rule::ReadOnly, "the packet may be written", &known).about(reg));
            }
            packet_bounds(p, reg, off, size as i64)?;
            Ok((
                Place::Plain,
                Region::Packet,
                at.filter(|_| p.to == To::Packet && p.id == 0),
            ))
        }
        To::Memory {
            size: bytes,
            writable,
        }
        | To::Slice {
            size: bytes,
            writable,
            ..
        } => {
            if kind.writes() && !writable {
                return Err(read_only(reg, "read-only memory"));
            }
            bounds(env, p, reg, off, size as i64, i64::from(bytes))?;
            Ok((Place::Plain, Region::Memory, at))
        }
        To::Buffer { writable, .. } => {
            if kind.writes() && !writable {
                return Err(read_only(reg, "a read-only buffer"));
            }
            buffer(env, p, reg, off)?;
            Ok((Place::Plain, Region::Memory, at))
        }
        To::Record { size: bytes } => {
            bounds(env, p, reg, off, size as i64, i64::from(bytes))?;
            Ok((Place::Plain, Region::Memory, at))
        }
        To::FlowKeys => {
            if p.var.as_constant() != Some(0) {
                let must = "flow keys are accessed at constant offsets";
                return Err(fail(Rule::OutOfBounds, must, &describe(env, p)).about(reg));
            }
            bounds(
                env,
                p,
                reg,
                off,
                size as i64,
                fields::struct_size(env, "bpf_flow_keys"),
            )?;
            Ok((Place::Plain, Region::Memory, at))
        }
        To::Socket(socket) => {
            if kind.writes() {
                return Err(read_only(reg, "a socket"));
            }
            fields::socket_field(env, p, socket, reg, off, size, kind)
        }
        To::Allocated { .. } => crate::alloc::access(env, p, reg, off, size, kind),
        To::Kernel { type_id, trust } => {
            crate::kernel::load(env, state, p, type_id, trust, reg, off, size, kind)
        }
        To::Map(map) if kind == Kind::Read => {
            crate::kernel::load_map(env, state, p, map, reg, off, size)
        }
        To::Arena => {
            crate::arena::access(env, reg, kind)?;
            Ok((Place::Plain, Region::Arena, None))
        }
        To::Dynptr { .. } | To::Map(_) | To::PerCpu { .. } | To::PacketEnd | To::Function(_) => {
            let known = format!("{reg} is {}", describe(env, p));
            let must = format!("{reg} points to memory that may be accessed");
            Err(fail(Rule::BadPointer, &must, &known).about(reg))
        }
    }
}

/// A place in a buffer whose size whoever attaches the program looks at.
pub(crate) fn buffer(env: &Env<'_>, p: &Pointer, reg: Reg, off: i64) -> Outcome<()> {
    match p.constant_offset().and_then(|o| o.checked_add(off)) {
        Some(0..=MAX_BUFFER) => Ok(()),
        _ => {
            let must = "a buffer is accessed at constant offsets";
            Err(fail(Rule::OutOfBounds, must, &describe(env, p)).about(reg))
        }
    }
}

const MAX_BUFFER: i64 = 1 << 29;

fn read_only(reg: Reg, what: &str) -> Box<crate::reject::Failure> {
    fail(
        Rule::ReadOnly,
        "the memory may be written",
        &format!("{reg} points to {what}"),
    )
    .about(reg)
}

/// In words, with sizes, for messages.
pub(crate) fn describe(env: &Env<'_>, p: &Pointer) -> String {
    let mut text = match p.to {
        To::MapValue(m) => match env.map(m) {
            Ok(map) => format!("a value of map `{}` ({} bytes)", map.name, map.value_size),
            Err(_) => "a map value".to_string(),
        },
        To::MapKey(m) => format!("a key of map `{}`", env.map_name(m)),
        To::Map(m) => format!("map `{}`", env.map_name(m)),
        To::Memory { size, .. } => format!("memory of {size} bytes"),
        To::Slice { size, .. } => format!("{size} bytes of a dynptr"),
        To::Record { size } => format!("a ring buffer record of {size} bytes"),
        to => to.name().to_string(),
    };
    match p.constant_offset() {
        // Its base is where a comparison with the end found it, or what was added to the start had no other value.
        Some(n) if p.is_packet() && p.id != 0 => {
            text.push_str(&format!(" at offset {n} from a place in it"));
        }
        Some(0) => {}
        Some(n) => text.push_str(&format!(" at offset {n}")),
        None => text.push_str(&format!(" at offset {} + {}", p.off, Known(&p.var))),
    }
    if p.is_packet() {
        text.push_str(&format!(" ({} bytes checked against data_end)", p.range));
    }
    text
}

pub(crate) fn aligned(p: &Pointer, reg: Reg, off: i64, size: usize, strict: bool) -> Outcome<()> {
    if !strict || size == 1 {
        return Ok(());
    }
    let total = p.var.tnum().add(probity_domains::Tnum::constant(
        p.off.wrapping_add(off) as u64
    ));
    if total.is_aligned(size as u64) {
        return Ok(());
    }
    let must = format!("an access of {size} bytes here is aligned to {size}");
    let known = match p.constant_offset() {
        Some(o) => format!("it is at offset {}", o.wrapping_add(off)),
        None => format!(
            "its offset is {} + {}",
            p.off.wrapping_add(off),
            Known(&p.var)
        ),
    };
    Err(fail(Rule::Misaligned, &must, &known).about(reg))
}

/// Lowest and highest first byte of an access to a frame's stack; remembers how deep it is.
pub(crate) fn stack_range(
    env: &mut Env<'_>,
    state: &State,
    p: &Pointer,
    reg: Reg,
    off: i64,
    size: i64,
) -> Outcome<(i64, i64)> {
    let (low, high) = p.offset_range();
    let (low, high) = (low + i128::from(off), high + i128::from(off));
    if low < -i128::from(STACK_BYTES) || high + i128::from(size) > 0 {
        let must =
            format!("an access of {size} bytes stays within the {STACK_BYTES} bytes of the stack");
        let known = match low == high {
            true => format!("{reg} points to fp{low:+}"),
            false => format!("{reg} points to fp{low:+} to fp{high:+}"),
        };
        return Err(fail(Rule::OutOfBounds, &must, &known).about(reg));
    }
    let (low, high) = (low as i64, high as i64);
    if let To::Stack { frame } = p.to
        && let Some(f) = state.frames.get(frame)
    {
        env.stack_used(f.subprog, -low);
    }
    Ok((low, high))
}

/// All bytes from the lowest offset to the highest lie in `[0, limit)`.
pub(crate) fn bounds(
    env: &Env<'_>,
    p: &Pointer,
    reg: Reg,
    off: i64,
    size: i64,
    limit: i64,
) -> Outcome<()> {
    let (low, high) = p.offset_range();
    let (low, high) = (low + i128::from(off), high + i128::from(off));
    if low >= 0 && high + i128::from(size) <= i128::from(limit) {
        return Ok(());
    }
    let must = format!(
        "an access of {size} bytes stays within {}",
        env_region(env, p, limit)
    );
    let known = if low == high {
        format!("it would start at offset {low}")
    } else {
        let low = if low < -(1 << 40) {
            "anywhere below 0".into()
        } else {
            low.to_string()
        };
        let high = if high > 1 << 40 {
            "anywhere above".into()
        } else {
            high.to_string()
        };
        format!(
            "its offset is {low} to {high}; {reg} is {}",
            describe(env, p)
        )
    };
    let e = fail(Rule::OutOfBounds, &must, &known).about(reg);
    Err(if p.var.as_constant().is_none() {
        e.hint("bound the index first: compare it with the size, or mask it with a constant")
    } else {
        e
    })
}

fn env_region(env: &Env<'_>, p: &Pointer, limit: i64) -> String {
    match p.to {
        To::MapValue(m) => format!("the {limit} bytes of a value of map `{}`", env.map_name(m)),
        to => format!("the {limit} bytes of {}", to.name()),
    }
}

pub(crate) fn packet_bounds(p: &Pointer, reg: Reg, off: i64, size: i64) -> Outcome<()> {
    let start = p.off.saturating_add(off);
    if p.var.smin() >= 0 && start >= 0 && start.saturating_add(size) <= i64::from(p.range) {
        return Ok(());
    }
    let must = format!("the {size} bytes at {reg}{off:+} were compared with data_end on this path");
    let known = match (p.range, p.var.smin() < 0) {
        (_, true) => format!(
            "the offset added to the packet pointer may be negative: {}",
            Known(&p.var)
        ),
        (0, _) => format!("{reg} was not compared with data_end"),
        (n, _) => format!(
            "{n} bytes from the packet pointer's base were; these are bytes {start} to {}",
            start + size
        ),
    };
    let hint = "compare before the access: `if (p + SIZE > data_end) return …;`";
    Err(fail(Rule::OutOfBounds, &must, &known).about(reg).hint(hint))
}

/// A map's value may be read or written by programs.
pub(crate) fn map_direction(
    env: &Env<'_>,
    map: crate::value::MapRef,
    reg: Reg,
    kind: Kind,
) -> Outcome<()> {
    const RDONLY_PROG: u32 = 1 << 7;
    const WRONLY_PROG: u32 = 1 << 8;
    let def = env.map(map)?;
    let frozen = env.frozen(map).is_some();
    if kind.writes() && (frozen || def.flags & RDONLY_PROG != 0) {
        let known = format!("map `{}` is read-only for programs", def.name);
        return Err(fail(Rule::ReadOnly, "the map may be written by programs", &known).about(reg));
    }
    if kind.reads() && def.flags & WRONLY_PROG != 0 {
        let known = format!("map `{}` is write-only for programs", def.name);
        return Err(fail(Rule::ReadOnly, "the map may be read by programs", &known).about(reg));
    }
    Ok(())
}

/// Managed fields of map values are no memory for helpers.
pub(crate) fn special_fields(
    env: &Env<'_>,
    p: &Pointer,
    reg: Reg,
    off: i64,
    size: i64,
) -> Outcome<()> {
    let To::MapValue(map) = p.to else {
        return Ok(());
    };
    let Some(special) = env.fields(map) else {
        return Ok(());
    };
    let (low, high) = p.offset_range();
    let (low, high) = (
        low + i128::from(off),
        high + i128::from(off) + i128::from(size),
    );
    match special.overlap(low, high) {
        None => Ok(()),
        Some(f) => Err(crate::kptr::untouchable(f, special.problem.as_deref()).about(reg)),
    }
}

fn frozen_load(bytes: &[u8], at: i64, size: usize) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    let mut word = [0; 8];
    word[..size].copy_from_slice(bytes);
    Some(u64::from_le_bytes(word))
}
