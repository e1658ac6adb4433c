//! Subprograms that helpers call.

use probity_isa::Pc;
use probity_platform::Callback;

use crate::call::Next;
use crate::env::Env;
use crate::reject::{Outcome, unsupported};
use crate::state::State;

pub(crate) fn enter(_env: &mut Env<'_>, _state: &mut State, _pc: Pc, what: (Callback, usize)) -> Outcome<Next> {
    Err(unsupported(&format!("callbacks ({:?})", what.0)))
}

pub(crate) fn leave(_env: &mut Env<'_>, _state: &mut State, _pc: Pc) -> Outcome<Next> {
    Err(unsupported("callbacks"))
}
