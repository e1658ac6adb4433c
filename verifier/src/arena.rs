//! Arenas: memory that a program shares with its loader.

use crate::env::Env;
use crate::kfunc::Found as Kfunc;
use crate::reject::{Outcome, unsupported};
use crate::value::Value;

/// What a call gives that allocates pages of an arena.
pub(crate) fn pages(_env: &mut Env<'_>, _found: &Kfunc) -> Outcome<Value> {
    Err(unsupported("arenas"))
}
