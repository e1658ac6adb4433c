//! Timers, work queues and task work in map values: arguments that name a field and the map that it lies in.
//!
//! **Invariant:** the map given beside a field is the one whose value it lies in, inner maps told apart by their lookup.

use probity_isa::Reg;
use probity_platform::Managed;

use crate::env::Env;
use crate::memory::describe;
use crate::reject::{Explain, Outcome, fail};
use crate::report::Rule;
use crate::value::{Id, MapRef, Pointer, To, Value};

/// A map, and the lookup that found it where it is an inner one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapOf {
    pub map: MapRef,
    pub lookup: Id,
}

/// The map of the value in which a field of this kind begins where the register points.
pub(crate) fn argument(
    env: &Env<'_>,
    reg: Reg,
    value: &Value,
    kind: Managed,
    callee: &str,
) -> Outcome<MapOf> {
    let rows = env.platform.managed.fields;
    let name = rows.iter().find(|r| r.kind == kind).map_or("", |r| r.name);
    let must = format!("{callee} is given a `{name}` in a map value");
    match value {
        Value::Pointer(p) if p.null => {
            let known = format!("{reg} is {} or NULL", describe(env, p));
            let e = fail(Rule::NullDereference, &must, &known).about(reg);
            Err(e.hint("test it for NULL before the call"))
        }
        Value::Pointer(p) => {
            let found = match (p.to, p.constant_offset()) {
                (To::MapValue(map), Some(at)) => env
                    .fields(map)
                    .and_then(|s| s.at(at, &[kind]))
                    .map(|_| MapOf {
                        map,
                        lookup: p.parent,
                    }),
                _ => None,
            };
            found.ok_or_else(|| {
                let known = format!("{reg} is {}", describe(env, p));
                fail(Rule::BadArgument, &must, &known).about(reg)
            })
        }
        v => Err(fail(Rule::BadArgument, &must, &format!("{reg} is {v}")).about(reg)),
    }
}

/// The map argument that goes with the field.
pub(crate) fn same_map(env: &Env<'_>, reg: Reg, p: &Pointer, field: MapOf) -> Outcome<()> {
    let given = match p.to {
        To::Map(map) => Some(MapOf {
            map,
            lookup: p.parent,
        }),
        _ => None,
    };
    if given == Some(field) {
        return Ok(());
    }
    let must = "the map is the one whose value the field lies in";
    let known = format!(
        "the field lies in a value of `{}`, {reg} is {}",
        env.map_name(field.map),
        describe(env, p)
    );
    Err(fail(Rule::BadArgument, must, &known).about(reg))
}
