//! Interrupt flags saved on the stack.

use probity_isa::Reg;

use crate::env::Env;
use crate::kfunc::{Call, Found as Kfunc};
use crate::reject::{Outcome, unsupported};
use crate::state::State;

/// What a call's arguments say of interrupt flags.
#[derive(Default)]
pub(crate) struct Found {}

/// A kernel function's argument that is marked as interrupt flags.
pub(crate) fn argument(
    _env: &mut Env<'_>,
    _state: &State,
    _call: &Call<'_>,
    _reg: Reg,
    _found: &mut Kfunc,
) -> Outcome<()> {
    Err(unsupported("sections without interrupts"))
}

/// The call saves or restores them.
pub(crate) fn apply(
    _env: &mut Env<'_>,
    _state: &mut State,
    _call: &Call<'_>,
    _found: &Kfunc,
) -> Outcome<()> {
    Ok(())
}
