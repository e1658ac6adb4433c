//! Structures of the program's own types that it allocates, shares and drops.

use probity_isa::Reg;

use crate::env::Env;
use crate::kfunc::{Call, Found as Kfunc};
use crate::reject::{Outcome, unsupported};
use crate::state::State;
use crate::value::Value;

/// What a call's arguments say of allocated structures.
#[derive(Default)]
pub(crate) struct Found {}

/// A kernel function's argument that is an allocated structure; `refcounted`: with a `bpf_refcount`.
pub(crate) fn argument(
    _env: &mut Env<'_>,
    _state: &State,
    _call: &Call<'_>,
    _reg: Reg,
    _refcounted: bool,
    _found: &mut Kfunc,
) -> Outcome<()> {
    Err(unsupported("allocated structures"))
}

/// What a call gives that is an allocated structure.
pub(crate) fn result(
    _env: &mut Env<'_>,
    _state: &State,
    _call: &Call<'_>,
    _found: &Kfunc,
) -> Outcome<Value> {
    Err(unsupported("allocated structures"))
}

/// What else the call does to them; the reference that ends is dropped by the caller.
pub(crate) fn apply(
    _env: &mut Env<'_>,
    _state: &mut State,
    _call: &Call<'_>,
    _found: &Kfunc,
) -> Outcome<()> {
    Ok(())
}
