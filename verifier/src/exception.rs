//! Exceptions: a program ends from anywhere in it.

use probity_isa::Pc;

use crate::call::Next;
use crate::env::Env;
use crate::reject::{Outcome, unsupported};
use crate::state::State;

/// The program is thrown out of; the cookie was in r1.
pub(crate) fn throw(_env: &mut Env<'_>, _state: &mut State, _pc: Pc) -> Outcome<Next> {
    Err(unsupported("exceptions (bpf_throw)"))
}
