//! Arenas: memory that a program shares with its loader, at 32-bit addresses.
//!
//! - The address of arena data is a number; a cast to the kernel's address space makes an arena pointer of any value.
//! - An arena pointer is used by its low 32 bits only: any arithmetic keeps it one, and any access is fine:
//!   what lies outside of the pages that exist reads as 0 and is written to nowhere.
//! - What is read is unknown, and may be changed by anyone at any time.
//!
//! **Invariant:** a program that casts has exactly one arena.

use probity_domains::Scalar;
use probity_isa::{Imm64, Insn, Pc, Reg};
use probity_objfile::Object;
use probity_platform::{KfuncSpecial, Platform, Version};

use crate::cfg::Cfg;
use crate::env::Env;
use crate::kfunc::Found as Kfunc;
use crate::memory::Kind;
use crate::reject::{Explain, Outcome, fail};
use crate::report::Rule;
use crate::state::State;
use crate::value::{MapRef, Pointer, To, Value};

/// The address space that programs use for arenas.
const ARENA_SPACE: u16 = 1;
/// The address space of everything else.
const KERNEL_SPACE: u16 = 0;

/// The arena among the maps that the program names.
pub(crate) fn of_program(
    cfg: &Cfg,
    object: &Object,
    platform: &Platform,
) -> Outcome<Option<usize>> {
    let mut found: Option<usize> = None;
    for insn in &cfg.insns {
        let Insn::LoadImm64 {
            imm: Imm64::MapIdx(index) | Imm64::MapIdxValue { index, .. },
            ..
        } = insn
        else {
            continue;
        };
        let index = *index as usize;
        let arena = object
            .maps
            .get(index)
            .and_then(|m| platform.map_kind(m.kind))
            .is_some_and(|k| k.arena);
        if !arena {
            continue;
        }
        match found {
            Some(other) if other != index => {
                let known = "it names two";
                return Err(fail(Rule::MapKind, "a program has one arena", known));
            }
            _ => found = Some(index),
        }
    }
    Ok(found)
}

/// Whether the value of such a map is an arena's memory.
pub(crate) fn is_arena(env: &Env<'_>, map: MapRef) -> Outcome<bool> {
    Ok(env.map_kind(env.map(map)?)?.arena)
}

/// The address of arena data, as the loader sees it.
pub(crate) fn address(env: &Env<'_>, map: MapRef, off: u32) -> Outcome<Value> {
    const PAGE: u64 = 4096;
    let def = env.map(map)?;
    let bytes = u64::from(def.max_entries).saturating_mul(PAGE);
    if u64::from(off) > bytes {
        let must = format!("the address lies within the {bytes} bytes of the arena");
        return Err(fail(
            Rule::OutOfBounds,
            &must,
            &format!("it is at offset {off}"),
        ));
    }
    Ok(Value::unknown())
}

/// A cast between address spaces.
pub(crate) fn cast(
    env: &Env<'_>,
    state: &mut State,
    pc: Pc,
    dst: Reg,
    src: Reg,
    to: u16,
    from: u16,
) -> Outcome<()> {
    if env.arena.is_none() {
        let must = "a program that casts between address spaces has an arena";
        return Err(fail(Rule::MapKind, must, "it names none").about(src));
    }
    let value = match (from, to) {
        (ARENA_SPACE, KERNEL_SPACE) => Value::Pointer(Pointer::new(To::Arena)),
        (KERNEL_SPACE, ARENA_SPACE) => Value::unknown(),
        _ => {
            let must = "a cast is between the address spaces 0 and 1";
            let known = format!("it is from {from} to {to}");
            return Err(fail(Rule::Malformed, must, &known).about(src));
        }
    };
    state.set(pc, dst, value);
    Ok(())
}

/// Any access but one is fine.
pub(crate) fn access(env: &Env<'_>, reg: Reg, kind: Kind) -> Outcome<()> {
    const SIGNED: Version = Version(6, 18);
    if kind == Kind::ReadSigned && env.platform.version < SIGNED {
        let must = format!("{} extends signs in loads from arenas", env.platform.name);
        let known = format!("Linux does so since {SIGNED}");
        return Err(fail(Rule::BadPointer, &must, &known).about(reg));
    }
    Ok(())
}

/// Whether a kernel function that allocates takes a map by a pointer to the kernel's own structure: it looks at
/// the map's kind itself.
pub(crate) fn takes(call: &crate::kfunc::Call<'_>, p: &Pointer) -> bool {
    let To::Kernel { type_id, .. } = p.to else {
        return false;
    };
    let is_map = call
        .types
        .find_struct(MAP)
        .is_some_and(|id| id.0 == type_id);
    call.row.special == Some(KfuncSpecial::ArenaAlloc) && is_map && p.constant_offset() == Some(0)
}

/// The kernel's structure of any map.
const MAP: &str = "bpf_map";

/// A number added to an arena pointer on the number's right: the sum is used as it is, not by its low half,
/// so that it must stay within the guard around the arena.
pub(crate) fn added(p: Pointer, n: &Scalar, dst: Reg) -> Outcome<Value> {
    if n.smin() >= -GUARD && n.smax() <= GUARD {
        return Ok(Value::Pointer(p));
    }
    let must = "a large number is added to an arena pointer, not an arena pointer to a number";
    let known = format!("{dst} is {}", crate::value::Known(n));
    let e = fail(Rule::PointerArithmetic, must, &known).about(dst);
    Err(e.hint("cast after the addition"))
}

/// Less than the page that nothing lies in beside an arena.
const GUARD: i64 = 4000;

/// What a call gives that allocates pages of an arena: an address, to be cast.
pub(crate) fn pages(_env: &mut Env<'_>, _found: &Kfunc) -> Outcome<Value> {
    Ok(Value::unknown())
}
