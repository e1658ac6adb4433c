//! Dynptrs on the stack: made, handed to calls, sliced and ended.

use probity_isa::Reg;

use crate::env::Env;
use crate::kfunc::{Call, Found as Kfunc};
use crate::reject::{Outcome, unsupported};
use crate::state::State;
use crate::value::Value;

/// What a call's arguments say of dynptrs.
#[derive(Default)]
pub(crate) struct Found {}

/// A kernel function's argument of type `struct bpf_dynptr *`; `uninit`: the call makes it.
pub(crate) fn argument(
    _env: &mut Env<'_>,
    _state: &State,
    _call: &Call<'_>,
    _reg: Reg,
    _uninit: bool,
    _found: &mut Kfunc,
) -> Outcome<()> {
    Err(unsupported("dynptrs"))
}

/// What a call gives that is memory of a dynptr.
pub(crate) fn slice(
    _env: &mut Env<'_>,
    _state: &State,
    _call: &Call<'_>,
    _found: &Kfunc,
    _writable: bool,
) -> Outcome<Value> {
    Err(unsupported("dynptrs"))
}

/// The call makes, changes or ends dynptrs.
pub(crate) fn apply(
    _env: &mut Env<'_>,
    _state: &mut State,
    _call: &Call<'_>,
    _found: &Kfunc,
) -> Outcome<()> {
    Ok(())
}
