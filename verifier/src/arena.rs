//! Arenas: memory that a program shares with its loader, at 32-bit addresses.
//!
//! - The address of arena data is a number; a cast to the kernel's address space makes an arena pointer of any value.
//! - An arena pointer is used by its low 32 bits only: any arithmetic keeps it one, and any access is fine:
//!   what lies outside of the pages that exist reads as 0 and is written to nowhere.
//! - What is read is unknown, and may be changed by anyone at any time.
//!
//! **Invariant:** a program that casts has exactly one arena.

use probity_isa::{Imm64, Insn, Pc, Reg};
use probity_objfile::Object;
use probity_platform::Platform;

use crate::cfg::Cfg;
use crate::env::Env;
use crate::kfunc::Found as Kfunc;
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

/// What a call gives that allocates pages of an arena: an address, to be cast.
pub(crate) fn pages(_env: &mut Env<'_>, _found: &Kfunc) -> Outcome<Value> {
    Ok(Value::unknown())
}
