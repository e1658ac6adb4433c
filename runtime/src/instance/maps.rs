//! Definitions of maps → the instance's maps, with what they are initialised with.

use std::sync::Arc;

use probity_objfile as objfile;
use probity_verifier::Verified;

use super::programs::tail_calls;
use super::{Options, Program};
use crate::Error;
use crate::maps::{Map, Values};

/// The object's maps, and how many bytes are left of those that they may take.
pub(super) fn make(
    verified: &Verified,
    used: &[bool],
    options: &Options,
    home: &Arc<()>,
) -> Result<(Vec<Option<Arc<Map>>>, u64), Error> {
    let object = &verified.relocated().object;
    let fields = verified.map_fields();
    let mut used = used.to_vec();
    // What a used map is initialised with is used too; maps of maps do not nest deeper.
    for (n, def) in object.maps.iter().enumerate() {
        if !used[n] {
            continue;
        }
        for (_, initial) in &def.initial {
            if let objfile::Initial::Map(m) = initial
                && let Some(u) = used.get_mut(*m)
            {
                *u = true;
            }
        }
    }
    let mut budget = options.max_map_bytes;
    let mut out = Vec::new();
    for ((def, used), fields) in object.maps.iter().zip(used).zip(&fields) {
        let values = Values::of(&fields.own);
        if let Some(kept) = options.maps.iter().find(|m| m.name() == def.name) {
            kept.usable_as(def, options.cpus, &values)?;
            out.push(Some(kept.clone()));
            continue;
        }
        match Map::new(def, options, values, &mut budget) {
            Ok(map) => {
                let map = map.of_types(object.btf.as_ref(), def.value_type);
                out.push(Some(Arc::new(map.at_home(home))));
            }
            Err(e) if used => return Err(e),
            // A map that no program uses is not worth an error.
            Err(_) => out.push(None),
        }
    }
    Ok((out, budget))
}

/// Static initialisers of program arrays and maps of maps.
pub(super) fn initialise(
    verified: &Verified,
    maps: &[Option<Arc<Map>>],
    programs: &[Program],
) -> Result<(), Error> {
    let object = &verified.relocated().object;
    for (def, map) in object.maps.iter().zip(maps) {
        let Some(map) = map else { continue };
        for (slot, initial) in &def.initial {
            match initial {
                objfile::Initial::Map(n) => {
                    let inner =
                        maps.get(*n)
                            .and_then(Option::as_ref)
                            .ok_or_else(|| Error::Map {
                                map: def.name.clone(),
                                what: format!("its initial map {n} does not exist in process"),
                            })?;
                    map.set_reference(&slot.to_ne_bytes(), inner.address())?;
                }
                objfile::Initial::Program(name) => {
                    let at = programs
                        .iter()
                        .position(|p| p.name() == name)
                        .ok_or_else(|| Error::Map {
                            map: def.name.clone(),
                            what: format!(
                                "its initial program {name} is not among the verified ones"
                            ),
                        })?;
                    put_program(verified, map, *slot, at, programs)?;
                }
            }
        }
    }
    Ok(())
}

/// A program array holds programs of one kind, that of the programs that jump through it, as in Linux.
pub(super) fn put_program(
    verified: &Verified,
    map: &Map,
    index: u32,
    program: usize,
    programs: &[Program],
) -> Result<(), Error> {
    let p = programs.get(program).ok_or(Error::NoProgram(program))?;
    let kind = p.verified().prog_type();
    let refused = |than: &str| {
        Err(Error::Map {
            map: map.name().to_string(),
            what: format!("program {} is of another kind than {than}", p.name()),
        })
    };
    let maps = &verified.relocated().object.maps;
    let jumps = |user: &Program| {
        tail_calls(verified, user.verified()).any(|pc| {
            // Where it depends on the path which array it is, it may be this one.
            let known = user.verified().facts().get(pc).and_then(|f| f.map);
            known.is_none_or(|n| maps.get(n).is_some_and(|def| def.name == map.name()))
        })
    };
    let others = programs.iter().filter(|o| o.verified().prog_type() != kind);
    if others.filter(|o| o.tail_calls()).any(jumps) {
        return refused("those that jump through it");
    }
    for (_, other) in map.references() {
        let other = programs
            .get(other as usize)
            .map(|o| o.verified().prog_type());
        if other.is_some_and(|o| o != kind) {
            return refused("those it holds");
        }
    }
    map.set_reference(&index.to_ne_bytes(), program as u64)
}
