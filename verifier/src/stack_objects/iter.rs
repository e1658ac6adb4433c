//! Open-coded iterators on the stack: started, stepped and ended.
//!
//! A step goes on in two states: with an element, and with NULL and the iterator drained. Its clock ticks with
//! every element, since an iterator has finitely many: this is what ends the loop around it.
//!
//! **Invariant:** a drained iterator gives no element, and its clock stands.
//!
//! **Invariant:** an element that the iterator itself keeps alive is forgotten with the next step, unless the row says
//! that it stays; all of them, and memory inside of the iterator, with its end; elements under RCU protection live as long as the read section.

use probity_btf::TypeId;
use probity_isa::Reg;
use probity_platform::{KfuncFlag, KfuncSpecial};

use crate::call::Next;
use crate::cfg::Cfg;
use crate::env::Env;
use crate::kfunc::{Call, Found as Kfunc, Rows, wrong};
use crate::object::{self, Guard, Object, ObjectKind, Spot};
use crate::reject::{Explain, Outcome, fail};
use crate::report::Rule;
use crate::stack::SLOTS;
use crate::state::{Reference, State};
use crate::value::{Pointer, To, Trust, Value};
use crate::worst::Kind;

/// Steps of iterators are where laps are compared.
pub(crate) fn laps(cfg: &mut Cfg, rows: &Rows<'_>) {
    if rows.is_empty() {
        return;
    }
    for pc in 0..cfg.insns.len() {
        let row = rows.called(&cfg.insns[pc]);
        if row.is_some_and(|r| r.has(KfuncFlag::IterNext)) {
            cfg.lap_at(pc);
        }
    }
}

/// What a call's arguments say of iterators.
#[derive(Default)]
pub(crate) struct Found {
    iterator: Option<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    spot: Spot,
    type_id: TypeId,
    parts: usize,
}

/// A kernel function's iterator argument; `type_id`: the structure of its state.
pub(crate) fn argument(
    env: &mut Env<'_>,
    state: &State,
    call: &Call<'_>,
    reg: Reg,
    type_id: TypeId,
    found: &mut Kfunc,
) -> Outcome<()> {
    let name = call.types.name(type_id);
    let new = call.row.has(KfuncFlag::IterNew);
    let parts = match call.types.size_of(type_id) {
        Some(n) if n > 0 && n % 8 == 0 && n as usize <= SLOTS * 8 => n as usize / 8,
        _ => {
            let known = format!("`struct {name}` is not made of a few whole words");
            return Err(fail(
                Rule::BadArgument,
                "an iterator takes whole stack slots",
                &known,
            ));
        }
    };
    let what = || match new {
        true => format!(
            "{} unused aligned bytes of the stack, for `struct {name}`",
            parts * 8
        ),
        false => format!("a running iterator (`struct {name}`) on the stack"),
    };
    let spot = match state.reg(reg) {
        Value::Pointer(p) => object::spot(state, p, parts),
        _ => None,
    };
    let Some(spot) = spot else {
        return Err(wrong(env, state, call, reg, &what()));
    };
    if new {
        object::vacant(state, spot, parts).map_err(|e| e.about(reg))?;
        object::deep(env, state, spot);
    } else {
        let guard = match object::at(state, spot) {
            Some(Object {
                kind:
                    ObjectKind::Iterator {
                        type_id: t, guard, ..
                    },
                ..
            }) if t == type_id.0 => guard,
            _ => {
                let e = wrong(env, state, call, reg, &what());
                return Err(
                    e.hint("start the iterator first, and do not use it after it was destroyed")
                );
            }
        };
        if guard == Guard::Lost {
            let must = format!(
                "{} is called in the RCU read section in which the iterator began",
                call.row.name
            );
            let known = "that section has ended";
            return Err(fail(Rule::BadArgument, &must, known).about(reg));
        }
    }
    found.iter.iterator = Some(Place {
        spot,
        type_id,
        parts,
    });
    Ok(())
}

/// The call starts or ends an iterator.
pub(crate) fn apply(
    env: &mut Env<'_>,
    state: &mut State,
    call: &Call<'_>,
    found: &Kfunc,
) -> Outcome<()> {
    let Some(place) = found.iter.iterator else {
        return Ok(());
    };
    if call.row.has(KfuncFlag::IterNew) {
        let guard = match (
            call.row.has(KfuncFlag::RcuProtected),
            crate::trust::in_rcu(env, state),
        ) {
            (false, _) => Guard::Own,
            (true, true) => Guard::Rcu,
            (true, false) => Guard::Lost,
        };
        let id = env.fresh_id();
        let object = Object {
            kind: ObjectKind::Iterator {
                type_id: place.type_id.0,
                drained: false,
                guard,
            },
            id,
            reference: id,
            part: 0,
            parts: 0,
        };
        object::make(env, state, place.spot, place.parts, object)?;
        state.references.push(Reference { id, pc: call.pc });
        let kind = Kind::Iterator {
            type_id: place.type_id.0,
            spot: place.spot,
        };
        env.worst.clock(id, kind);
        env.worst.bound(kind, elements(env, state, call));
        state.clocks.start(id);
    } else if call.row.has(KfuncFlag::IterDestroy)
        && let Some(object) = object::at(state, place.spot)
    {
        object::end(state, place.spot)?;
        object::forget_parent(env, state, object.id);
        state.clocks.stop(object.id);
        crate::call::release(env, state, object.id)?;
    }
    Ok(())
}

/// How many elements an iterator that is started gives at most.
fn elements(env: &Env<'_>, state: &State, call: &Call<'_>) -> Option<u64> {
    let (most, numbers) = match call.row.special {
        Some(KfuncSpecial::ElementsAtMost(most)) => (most, false),
        Some(KfuncSpecial::NumbersAtMost(most)) => (most, true),
        _ => return None,
    };
    // States that are compared without these numbers may cut paths with others.
    let fixed = |reg: Reg| match state.reg(reg) {
        Value::Number(n) if env.origins.is_needed(n.origin) => Some(n.set),
        _ => None,
    };
    match (numbers, fixed(Reg::R2), fixed(Reg::R3)) {
        (true, Some(from), Some(to)) => {
            let count = i64::from(to.s32_max()) - i64::from(from.s32_min());
            Some(u64::try_from(count).unwrap_or(0).min(most))
        }
        _ => Some(most),
    }
}

/// After a step: on with r0 as it is, and with r0 NULL and the iterator drained.
pub(crate) fn next(
    env: &mut Env<'_>,
    state: &mut State,
    call: &Call<'_>,
    found: &Kfunc,
) -> Outcome<Next> {
    let iterator = found
        .iter
        .iterator
        .and_then(|p| Some((p.spot, object::at(state, p.spot)?)));
    let Some((spot, object)) = iterator else {
        let must = format!("{} steps an iterator", call.row.name);
        return Err(fail(Rule::BadArgument, &must, "it is given none"));
    };
    let ObjectKind::Iterator {
        type_id,
        drained,
        guard,
    } = object.kind
    else {
        let must = format!("{} steps an iterator", call.row.name);
        return Err(fail(Rule::BadArgument, &must, object.kind.name()));
    };
    let on = call.pc + 1;
    let element = *state.reg(Reg::R0);
    let end = Value::constant(0);
    if drained {
        state.set(call.pc, Reg::R0, end);
        return Ok(Next::At(on));
    }
    let stay = call.row.special == Some(KfuncSpecial::ElementsStay);
    if guard == Guard::Own && !stay {
        // The one before may be gone.
        state.set(call.pc, Reg::R0, Value::Uninit);
        let gone = crate::call::gone(env);
        let before = |p: &Pointer| p.parent == object.id && matches!(p.to, To::Kernel { .. });
        state.for_each_pointer(before, |v| *v = gone);
    }
    let mut more = state.clone();
    more.clocks.tick(object.id);
    let element = match element {
        Value::Pointer(p) => Value::Pointer(match p.to {
            To::Kernel { type_id, .. } => Pointer {
                null: false,
                id: 0,
                to: To::Kernel {
                    type_id,
                    trust: match guard {
                        Guard::Own => Trust::Trusted,
                        Guard::Rcu => Trust::Rcu,
                        Guard::Lost => Trust::Untrusted,
                    },
                },
                parent: if guard == Guard::Own { object.id } else { 0 },
                ..p
            },
            _ => Pointer {
                null: false,
                id: 0,
                parent: object.id,
                ..p
            },
        }),
        other => other,
    };
    more.set(call.pc, Reg::R0, element);
    let kind = ObjectKind::Iterator {
        type_id,
        drained: true,
        guard,
    };
    object::change(state, spot, kind);
    state.set(call.pc, Reg::R0, end);
    Ok(Next::Fork {
        now: on,
        later: on,
        state: Box::new(more),
    })
}

/// An RCU read section has ended: iterators that it protected can be neither stepped nor destroyed.
pub(crate) fn rcu_ended(state: &mut State) {
    for (spot, object) in object::all(state) {
        if let ObjectKind::Iterator {
            type_id,
            drained,
            guard: Guard::Rcu,
        } = object.kind
        {
            let kind = ObjectKind::Iterator {
                type_id,
                drained,
                guard: Guard::Lost,
            };
            object::change(state, spot, kind);
        }
    }
}
