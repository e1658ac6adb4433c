//! Open-coded iterators on the stack: started, stepped and ended.

use probity_btf::TypeId;
use probity_isa::Reg;

use crate::call::Next;
use crate::env::Env;
use crate::kfunc::{Call, Found as Kfunc};
use crate::reject::{Outcome, unsupported};
use crate::state::State;

/// What a call's arguments say of iterators.
#[derive(Default)]
pub(crate) struct Found {}

/// A kernel function's iterator argument; `type_id`: the structure of its state.
pub(crate) fn argument(
    _env: &mut Env<'_>,
    _state: &State,
    _call: &Call<'_>,
    _reg: Reg,
    _type_id: TypeId,
    _found: &mut Kfunc,
) -> Outcome<()> {
    Err(unsupported("open-coded iterators"))
}

/// The call starts or ends an iterator.
pub(crate) fn apply(
    _env: &mut Env<'_>,
    _state: &mut State,
    _call: &Call<'_>,
    _found: &Kfunc,
) -> Outcome<()> {
    Ok(())
}

/// After a step: on with r0 as it is, and with r0 NULL and the iterator drained.
pub(crate) fn next(
    _env: &mut Env<'_>,
    _state: &mut State,
    _call: &Call<'_>,
    _found: &Kfunc,
) -> Outcome<Next> {
    Err(unsupported("open-coded iterators"))
}
