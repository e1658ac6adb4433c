//! What a call of a kernel function does beside its result: regions entered and left, references, memory, stack objects.
//!
//! **Invariant:** everything here was found to be right before; what still fails leaves no half-changed state
//! behind, since a failure ends the walk.

use probity_platform::{KfuncFlag, KfuncSpecial as Special};

use crate::call::{self, Next};
use crate::env::Env;
use crate::memory;
use crate::reject::{Outcome, fail};
use crate::report::Rule;
use crate::state::{Reference, State};
use crate::value::Value;
use crate::{dynptr, irq, iter, later, lock};

use super::{Call, Found};

/// May the function be called inside of what was entered and not left?
pub(super) fn within_regions(env: &Env<'_>, state: &State, call: &Call<'_>) -> Outcome<()> {
    let row = call.row;
    lock::call_allowed(state, row.name, row.under_lock)?;
    if row.has(KfuncFlag::Sleepable)
        && let Some(region) = state.regions.unsleepable()
    {
        let must = format!(
            "{} may sleep, and is called where sleeping is allowed",
            row.name
        );
        return Err(fail(Rule::CallNotAllowed, &must, &region));
    }
    if row.has(KfuncFlag::RcuProtected) && !crate::trust::in_rcu(env, state) {
        let must = format!("{} is called inside of an RCU read section", row.name);
        let known = "none was entered";
        return Err(fail(Rule::CallNotAllowed, &must, known));
    }
    Ok(())
}

pub(super) fn apply(
    env: &mut Env<'_>,
    state: &mut State,
    call: &Call<'_>,
    found: &Found,
    value: Value,
) -> Outcome<()> {
    let row = call.row;
    match row.special {
        Some(Special::RcuLock) if state.regions.rcu > 0 => {
            let must = "RCU read sections do not nest";
            return Err(fail(Rule::Reference, must, "one was entered before"));
        }
        Some(Special::RcuLock) => state.regions.rcu = 1,
        Some(Special::RcuUnlock) => leave_rcu(state)?,
        Some(Special::PreemptDisable) => {
            state.regions.preempt = state.regions.preempt.saturating_add(1);
        }
        Some(Special::PreemptEnable) => {
            state.regions.preempt = match state.regions.preempt.checked_sub(1) {
                Some(left) => left,
                None => {
                    let must = "preemption is enabled again only where it was disabled";
                    return Err(fail(Rule::Reference, must, "it is not disabled here"));
                }
            };
        }
        _ => {}
    }
    for w in &found.writes {
        memory::clobber(state, env, w.frame, w.low, w.high, w.size)?;
    }
    irq::apply(env, state, call, found)?;
    if let Some(id) = found.release {
        call::release(env, state, id)?;
    }
    dynptr::apply(env, state, call, found, &value)?;
    iter::apply(env, state, call, found)?;
    if row.special == Some(Special::ChangesPacket) {
        call::forget_packet(env, state);
    }
    if row.has(KfuncFlag::Acquire)
        && let Value::Pointer(p) = value
        && p.reference != 0
    {
        state.references.push(Reference {
            id: p.reference,
            pc: call.pc,
        });
    }
    Ok(())
}

/// Where execution goes on, r0 having its value.
pub(super) fn after(
    env: &mut Env<'_>,
    state: &mut State,
    call: &Call<'_>,
    found: &Found,
) -> Outcome<Next> {
    let row = call.row;
    if row.has(KfuncFlag::IterNext) {
        return iter::next(env, state, call, found);
    }
    match row.special {
        Some(Special::AsyncCallback(kind)) => later::plan_for(env, call, kind, found),
        _ => Ok(Next::At(call.pc + 1)),
    }
}

/// The innermost RCU read section ends; with the last one what was found in it may be gone.
fn leave_rcu(state: &mut State) -> Outcome<()> {
    let Some(left) = state.regions.rcu.checked_sub(1) else {
        let must = "an RCU read section is left only where one was entered";
        return Err(fail(Rule::Reference, must, "none was entered on this path"));
    };
    state.regions.rcu = left;
    if left == 0 {
        crate::kernel::rcu_ended(state);
        lock::unprotect(state);
    }
    Ok(())
}
