//! Interrupt flags saved on the stack: made by what disables interrupts, given back in reverse order.
//!
//! **Invariant:** the flags saved and not restored are [`crate::regions::Regions::irqs`], oldest first, and each has
//! its object on the stack.

use probity_isa::Reg;
use probity_platform::KfuncSpecial as Special;

use crate::env::Env;
use crate::kfunc::{Call, Found as Kfunc, wrong};
use crate::object::{self, Object, ObjectKind, Spot};
use crate::reject::{Explain, Outcome, fail};
use crate::report::Rule;
use crate::state::State;
use crate::value::Value;

/// What a call's arguments say of interrupt flags.
#[derive(Default)]
pub(crate) struct Found {
    spot: Option<Spot>,
}

/// Whether the call saves flags or restores them, and whether a lock goes with it.
fn role(call: &Call<'_>) -> Option<(bool, bool)> {
    match call.row.special? {
        Special::IrqSave => Some((true, false)),
        Special::IrqRestore => Some((false, false)),
        Special::ResSpinLock { irq: true } => Some((true, true)),
        Special::ResSpinUnlock { irq: true } => Some((false, true)),
        _ => None,
    }
}

/// A kernel function's argument that is marked as interrupt flags.
pub(crate) fn argument(
    env: &mut Env<'_>,
    state: &State,
    call: &Call<'_>,
    reg: Reg,
    found: &mut Kfunc,
) -> Outcome<()> {
    let Some((saves, lock)) = role(call) else {
        let what = format!("interrupt flags in {}", call.row.name);
        return Err(crate::reject::unsupported(&what));
    };
    let what = match saves {
        true => "8 unused aligned bytes of the stack, for interrupt flags",
        false => "interrupt flags saved on the stack",
    };
    let spot = match state.reg(reg) {
        Value::Pointer(p) => object::spot(state, p, 1),
        _ => None,
    };
    let Some(spot) = spot else {
        return Err(wrong(env, state, call, reg, what));
    };
    if saves {
        object::vacant(state, spot, 1).map_err(|e| e.about(reg))?;
        object::deep(env, state, spot);
        found.irq.spot = Some(spot);
        return Ok(());
    }
    let Some(Object {
        kind: ObjectKind::IrqFlag { lock: saved },
        id,
        ..
    }) = object::at(state, spot)
    else {
        return Err(wrong(env, state, call, reg, what));
    };
    if saved != lock {
        let by = |lock| match lock {
            true => "with a lock",
            false => "without a lock",
        };
        let must = format!("flags saved {} are restored so", by(saved));
        let known = format!("{} restores flags saved {}", call.row.name, by(lock));
        return Err(fail(Rule::Lock, &must, &known).about(reg));
    }
    if state.regions.irqs.last() != Some(&id) {
        let must = "interrupt flags are restored in the reverse order of their saving";
        let known = "others were saved later and are not restored yet";
        return Err(fail(Rule::Lock, must, known).about(reg));
    }
    found.irq.spot = Some(spot);
    Ok(())
}

/// The call saves or restores them.
pub(crate) fn apply(
    env: &mut Env<'_>,
    state: &mut State,
    call: &Call<'_>,
    found: &Kfunc,
) -> Outcome<()> {
    let (Some(spot), Some((saves, lock))) = (found.irq.spot, role(call)) else {
        return Ok(());
    };
    if saves {
        let id = env.fresh_id();
        let object = Object {
            kind: ObjectKind::IrqFlag { lock },
            id,
            reference: 0,
            part: 0,
            parts: 0,
        };
        object::make(env, state, spot, 1, object)?;
        state.regions.irqs.push(id);
        return Ok(());
    }
    object::end(state, spot)?;
    state.regions.irqs.pop();
    Ok(())
}
