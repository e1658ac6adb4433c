//! Linked lists and red-black trees of allocated structures, under their lock.

use probity_isa::Reg;

use crate::call::Next;
use crate::env::Env;
use crate::kfunc::{Call, Found as Kfunc, ParamKind};
use crate::reject::{Outcome, unsupported};
use crate::state::State;
use crate::value::Value;

/// What a call's arguments say of lists and trees.
#[derive(Default)]
pub(crate) struct Found {}

/// A kernel function's argument that is a list's head or node, or a tree's root or node (`kind` says which).
pub(crate) fn argument(
    _env: &mut Env<'_>,
    _state: &State,
    _call: &Call<'_>,
    _reg: Reg,
    _kind: &ParamKind,
    _found: &mut Kfunc,
) -> Outcome<()> {
    Err(unsupported("lists and trees of allocated structures"))
}

/// What a call gives that is a node.
pub(crate) fn result(
    _env: &mut Env<'_>,
    _state: &State,
    _call: &Call<'_>,
    _found: &Kfunc,
) -> Outcome<Value> {
    Err(unsupported("lists and trees of allocated structures"))
}

/// The call moves a node; `value` is what it gives.
pub(crate) fn apply(
    _env: &mut Env<'_>,
    _state: &mut State,
    _call: &Call<'_>,
    _found: &Kfunc,
    _value: Value,
) -> Outcome<()> {
    Ok(())
}

/// After a node was added to a tree: the comparison may run any number of times.
pub(crate) fn add(
    _env: &mut Env<'_>,
    _state: &mut State,
    _call: &Call<'_>,
    _found: &Kfunc,
) -> Outcome<Next> {
    Err(unsupported("lists and trees of allocated structures"))
}
