//! Subprograms that helpers call, any number of times: after the call, and after each return of the
//! subprogram, execution goes on behind the call or in the subprogram once more.
//!
//! **Invariant:** each call of the subprogram ticks the clock of the helper's call, since the helper ends the loop
//! by itself; the clock stops behind the call.

use std::rc::Rc;

use probity_domains::Scalar;
use probity_isa::{Pc, Reg};
use probity_platform::Callback as Kind;

use crate::args::Found;
use crate::call::{ARGS, Next, push_frame};
use crate::env::Env;
use crate::reject::{Explain, Outcome, fail, internal, unsupported};
use crate::report::Rule;
use crate::state::State;
use crate::value::{Id, Known, Pointer, To, Trust, Value};
use crate::worst::{self, Kind as Clock};

/// A helper's call of a subprogram.
#[derive(Clone, Debug)]
pub(crate) struct Callback {
    /// The helper's call.
    pub call_pc: Pc,
    pub subprog: usize,
    pub args: [Value; 5],
    /// What r0 may be when the subprogram returns.
    pub returns: (i64, i64),
    /// What the helper returns.
    pub result: Value,
    /// It compares nodes of a tree whose lock is held: locks and trees stay as they are.
    pub under_lock: bool,
    /// Calls that are still to come, when their number is a small constant.
    pub left: Option<u64>,
    /// Ticks with every call of the subprogram.
    pub clock: Id,
}

/// Constant numbers of calls up to this are walked one by one.
const MOST_COUNTED: u64 = 16;

/// The plan of a call that was checked, before registers are lost.
pub(crate) fn plan(
    env: &mut Env<'_>,
    state: &State,
    pc: Pc,
    kind: Kind,
    subprog: usize,
    found: &Found,
    result: Value,
) -> Outcome<Option<Callback>> {
    if kind.later() {
        let Some(map) = found.map else {
            return Err(unsupported("functions called later without a map"));
        };
        crate::later::plan(env, subprog, map, kind);
        return Ok(None);
    }
    env.called_back(subprog);
    let most = worst::calls(env, state, kind, found.map);
    env.worst.bound(Clock::Call(pc), most);
    let mut args = [Value::Uninit; 5];
    let mut left = None;
    match kind {
        Kind::Loop => {
            args[0] = Value::number(Scalar::unknown().mov32());
            args[1] = *state.reg(Reg::R3);
            if let Value::Number(n) = state.reg(Reg::R1)
                && let Some(k) = n.set.as_constant().filter(|k| *k <= MOST_COUNTED)
            {
                env.origins.need(n.origin);
                left = Some(k);
            }
        }
        Kind::MapElement => {
            let Some(map) = found.map else {
                return Err(unsupported("callbacks without a map"));
            };
            // Of the very map, where lookups tell inner maps apart.
            let of_map = |to: To| {
                Value::Pointer(Pointer {
                    parent: found.lookup,
                    ..Pointer::new(to)
                })
            };
            args[0] = of_map(To::Map(map));
            args[1] = of_map(To::MapKey(map));
            args[2] = of_map(To::MapValue(map));
            args[3] = *state.reg(Reg::R3);
        }
        Kind::FindVma => {
            args[0] = *state.reg(Reg::R1);
            args[1] = structure(env, kind)?;
            args[2] = *state.reg(Reg::R4);
        }
        Kind::Dynptr => {
            args[0] = Value::Pointer(Pointer {
                id: env.fresh_id(),
                ..Pointer::new(To::Dynptr {
                    kind: crate::object::DynptrKind::Local,
                })
            });
            args[1] = *state.reg(Reg::R3);
        }
        Kind::Timer | Kind::WorkQueue | Kind::TaskWork => return Err(unsupported("timers")),
    }
    Ok(Some(Callback {
        call_pc: pc,
        subprog,
        args,
        returns: kind.returns(),
        result,
        left,
        clock: env.fresh_id(),
        under_lock: false,
    }))
}

/// The kernel structure that the helper found.
fn structure(env: &Env<'_>, kind: Kind) -> Outcome<Value> {
    let types = env.platform.types.as_deref();
    let found = kind
        .structure()
        .and_then(|name| types.and_then(|t| t.find_struct(name)));
    let Some(id) = found else {
        return Err(unsupported(
            "callbacks with kernel structures without the kernel's types",
        ));
    };
    Ok(Value::pointer(To::Kernel {
        type_id: id.0,
        trust: Trust::Plain,
    }))
}

/// Behind the call now, in the subprogram later. `state` is the one behind the call.
pub(crate) fn enter(env: &mut Env<'_>, state: &mut State, callback: Rc<Callback>) -> Outcome<Next> {
    let call_pc = callback.call_pc;
    let mut inside = state.clone();
    state.clocks.stop(callback.clock);
    if callback.left == Some(0) {
        return Ok(Next::At(call_pc + 1));
    }
    let left = callback.left.map(|n| n - 1);
    let callback = Rc::new(Callback {
        left,
        ..(*callback).clone()
    });
    if !inside.clocks.runs(callback.clock) {
        env.worst.clock(callback.clock, Clock::Call(call_pc));
        inside.clocks.start(callback.clock);
    }
    inside.clocks.tick(callback.clock);
    push_frame(env, &mut inside, callback.subprog, call_pc + 1)?;
    // Each call may get another value: locks of one are not those of another.
    let ids = callback.args.map(|v| match v {
        Value::Pointer(p) if p.id == 0 && env.keeps_id(&p.to) => Some(env.fresh_id()),
        _ => None,
    });
    let frame = inside.frame_mut();
    for ((r, value), id) in ARGS.into_iter().zip(callback.args).zip(ids) {
        let value = match (value, id) {
            (Value::Pointer(p), Some(id)) => Value::Pointer(Pointer { id, ..p }),
            (value, _) => value,
        };
        frame.regs[r.index()] = value;
        frame.set_at[r.index()] = u32::try_from(call_pc).unwrap_or(u32::MAX);
    }
    let start = env.cfg.subprogs[callback.subprog].start;
    frame.callback = Some(callback);
    Ok(Next::Fork {
        now: call_pc + 1,
        later: start,
        state: Box::new(inside),
    })
}

/// The subprogram returns to the helper.
pub(crate) fn leave(env: &mut Env<'_>, state: &mut State, pc: Pc) -> Outcome<Next> {
    let Some(callback) = state.frame().callback.clone() else {
        return Err(internal("a callback returns to its helper"));
    };
    let (min, max) = callback.returns;
    match state.reg(Reg::R0) {
        Value::Number(n) if min <= n.set.smin() && n.set.smax() <= max => {
            env.origins.need(n.origin)
        }
        v => {
            let known = match v {
                Value::Number(n) => format!("r0 is {}", Known(&n.set)),
                v => format!("r0 is {v}"),
            };
            let must = format!("a callback returns {min} to {max}");
            return Err(fail(Rule::ReturnValue, &must, &known).about(Reg::R0));
        }
    }
    state.pop_frame(env);
    state.set(pc, Reg::R0, callback.result);
    enter(env, state, callback)
}
