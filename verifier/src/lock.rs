//! Locks that programs take and release.

use probity_isa::Reg;
use probity_platform::Kfunc as Row;

use crate::call::Next;
use crate::env::Env;
use crate::kfunc::{Call, Found as Kfunc};
use crate::reject::{Outcome, fail, unsupported};
use crate::report::Rule;
use crate::state::State;
use crate::value::Value;

/// What a call's arguments say of locks.
#[derive(Default)]
pub(crate) struct Found {}

/// May a kernel function be called with the locks that are held?
pub(crate) fn may_call(state: &State, row: &Row) -> Outcome<()> {
    if state.regions.locks.is_empty() {
        return Ok(());
    }
    let must = "no function is called while a lock is held";
    let known = format!("{} is called with one", row.name);
    Err(fail(Rule::CallNotAllowed, must, &known))
}

/// A kernel function's argument of type `struct bpf_res_spin_lock *`.
pub(crate) fn argument(
    _env: &mut Env<'_>,
    _state: &State,
    _call: &Call<'_>,
    _reg: Reg,
    _found: &mut Kfunc,
) -> Outcome<()> {
    Err(unsupported("resilient spin locks"))
}

/// What taking a lock gives.
pub(crate) fn result(
    _env: &mut Env<'_>,
    _state: &State,
    _call: &Call<'_>,
    _found: &Kfunc,
) -> Outcome<Value> {
    Err(unsupported("resilient spin locks"))
}

/// The call releases a lock.
pub(crate) fn apply(
    _env: &mut Env<'_>,
    _state: &mut State,
    _call: &Call<'_>,
    _found: &Kfunc,
) -> Outcome<()> {
    Ok(())
}

/// After an attempt to take a lock: on with it, and without it and an error in r0.
pub(crate) fn taken(
    _env: &mut Env<'_>,
    _state: &mut State,
    _call: &Call<'_>,
    _found: &Kfunc,
) -> Outcome<Next> {
    Err(unsupported("resilient spin locks"))
}
