//! Functions that helpers or kernel functions keep, to be called when the program has long ended: timers, work queues.
//! Each is walked on its own, from a state that knows nothing of the program that handed it over.
//!
//! **Invariant:** what such a function is called with depends on the map alone, so one walk serves all calls.

use probity_isa::Reg;
use probity_platform::{Callback as Kind, Managed};

use crate::call::Next;
use crate::env::Env;
use crate::kfunc::{self, ParamKind};
use crate::reject::{Outcome, unsupported};
use crate::timer;
use crate::value::{MapRef, Pointer, To, Value};
use crate::walks::{Entry, Role};

/// A kernel function's argument that is a field of a map's value which keeps a function.
pub(crate) fn argument(
    env: &Env<'_>,
    call: &kfunc::Call<'_>,
    reg: Reg,
    value: &Value,
    kind: &ParamKind,
    found: &mut kfunc::Found,
) -> Outcome<()> {
    let managed = match kind {
        ParamKind::WorkQueue => Managed::WorkQueue,
        ParamKind::TaskWork => Managed::TaskWork,
        _ => Managed::Timer,
    };
    let field = timer::argument(env, reg, value, managed, call.row.name)?;
    found.field = Some(field);
    found.map = Some(field.map);
    Ok(())
}

/// The function that a kernel function is given to keep.
pub(crate) fn plan_for(
    env: &mut Env<'_>,
    call: &kfunc::Call<'_>,
    kind: Kind,
    found: &kfunc::Found,
) -> Outcome<Next> {
    let (Some(subprog), Some(map)) = (found.callback, found.map) else {
        return Err(unsupported("functions called later without a map"));
    };
    plan(env, subprog, map, kind);
    Ok(Next::At(env.cfg.next(call.pc)))
}

/// A function kept for a field of this map's values: it is called with the map, the key and the value.
pub(crate) fn plan(env: &mut Env<'_>, subprog: usize, map: MapRef, kind: Kind) {
    env.called_back(subprog);
    // Which of the inner maps it is nobody knows there, but it is one and the same.
    let parent = if map.inner { env.fresh_id() } else { 0 };
    let args = [To::Map(map), To::MapKey(map), To::MapValue(map)].map(|to| {
        let id = if env.keeps_id(&to) { env.fresh_id() } else { 0 };
        Value::Pointer(Pointer {
            id,
            parent,
            ..Pointer::new(to)
        })
    });
    let (min, max) = kind.returns();
    env.queue.add(Entry {
        subprog,
        role: Role::Later(min, max),
        sleepable: kind.may_sleep(),
        args: [args[0], args[1], args[2], Value::Uninit, Value::Uninit],
    });
}
