//! Spin locks: taken and left in order, with nothing called in between but what may be called under a lock.
//!
//! - A lock is known by the value it lies in: the lookup that found it, or the pointer to an allocated structure.
//! - Leaving a lock ends what was borrowed from the list or tree that it guards.
//!
//! **Invariant:** a lock is left by the pointer with the very id by which it was taken.

use probity_domains::Scalar;
use probity_isa::{Pc, Reg};
use probity_platform::Managed;

use crate::call::{Next, finish};
use crate::env::Env;
use crate::kfunc::{self, Call};
use crate::memory::describe;
use crate::regions::{Lock, LockKind, Within};
use crate::reject::{Explain, Failure, Outcome, fail};
use crate::report::Rule;
use crate::special::Special;
use crate::state::State;
use crate::trust::in_rcu;
use crate::value::{Hold, Pointer, To, Trust, Value};

/// The lock that a pointer points to.
pub(crate) fn argument(
    env: &Env<'_>,
    reg: Reg,
    value: &Value,
    kind: Managed,
    callee: &str,
) -> Outcome<Within> {
    let name = match kind {
        Managed::SpinLock => "bpf_spin_lock",
        _ => "bpf_res_spin_lock",
    };
    let must =
        || format!("{callee} is given a `{name}` in a map value or in memory of the program's own");
    let wrong = |known: String| fail(Rule::BadArgument, &must(), &known).about(reg);
    let Value::Pointer(p) = value else {
        return Err(wrong(format!("{reg} is {value}")));
    };
    if p.null {
        return Err(fail(
            Rule::NullDereference,
            &must(),
            &format!("{reg} is {} or NULL", describe(env, p)),
        )
        .about(reg)
        .hint("test it for NULL before the call"));
    }
    let (within, special) =
        fields_of(env, p).ok_or_else(|| wrong(format!("{reg} is {}", describe(env, p))))?;
    let Some(at) = p.constant_offset() else {
        return Err(wrong(format!("{reg} is {}", describe(env, p))));
    };
    if special.at(at, &[kind]).is_none() {
        let problem = match &special.problem {
            Some(why) => format!("; of its fields the kernel would say: {why}"),
            None => String::new(),
        };
        return Err(wrong(format!(
            "there is none at offset {at} of {}{problem}",
            p.to.name()
        )));
    }
    Ok(within)
}

/// Whose value a pointer points into, and its fields, where it may be told from others.
pub(crate) fn fields_of(env: &Env<'_>, p: &Pointer) -> Option<(Within, std::rc::Rc<Special>)> {
    match p.to {
        To::MapValue(map) => {
            let special = env.fields(map)?;
            let single = env
                .map(map)
                .ok()
                .is_some_and(|m| !map.inner && m.max_entries == 1 && m.data.is_some());
            // A value without an id may be any value, but for data sections.
            if p.id == 0 && !single {
                return None;
            }
            let within = Within::MapValue { map, id: p.id };
            Some((within, std::rc::Rc::new(special.clone())))
        }
        To::Allocated {
            type_id,
            hold: Hold::Owning,
            percpu: false,
        } if p.reference != 0 && p.id != 0 => {
            Some((Within::Allocated { id: p.id }, env.record_of(type_id)))
        }
        _ => None,
    }
}

/// The lock is held from here on.
pub(crate) fn take(
    env: &Env<'_>,
    state: &mut State,
    pc: Pc,
    kind: LockKind,
    within: Within,
) -> Outcome<()> {
    not_in_comparison(state)?;
    let held = &state.regions.locks;
    match kind {
        LockKind::Spin => {
            if let Some(lock) = held.first() {
                let must = "one spin lock is held at a time";
                let known = format!("one was taken at instruction {}", lock.pc);
                return Err(fail(Rule::Lock, must, &known));
            }
        }
        LockKind::Resilient { .. } => {
            if let Some(lock) = held.iter().find(|l| l.within == within) {
                let must = "a lock that is held is not taken again";
                let known = format!("it was taken at instruction {}", lock.pc);
                return Err(fail(Rule::Lock, must, &known));
            }
        }
    }
    if held.len() >= MOST_HELD {
        let must = format!("at most {MOST_HELD} locks are held at once");
        return Err(fail(Rule::Lock, &must, "there would be more"));
    }
    let _ = env;
    state.regions.locks.push(Lock { kind, within, pc });
    Ok(())
}

/// No bound of Linux's own, but no program needs more, and states with more would not end.
const MOST_HELD: usize = 64;

/// The lock is left: it must be the one that was taken last.
pub(crate) fn leave(
    env: &Env<'_>,
    state: &mut State,
    kind: LockKind,
    within: Within,
) -> Outcome<()> {
    not_in_comparison(state)?;
    let must = "a lock is left that was taken, the last one first";
    match state.regions.locks.last() {
        Some(l) if l.kind == kind && l.within == within => {}
        Some(l) => {
            let known = format!(
                "the last one was taken at instruction {}, and this one is another or of another kind",
                l.pc
            );
            return Err(fail(Rule::Lock, must, &known));
        }
        None => return Err(fail(Rule::Lock, must, "no lock is held")),
    }
    state.regions.locks.pop();
    let gone = gone(env);
    state.for_each_pointer(
        |p| {
            matches!(
                p.to,
                To::Allocated {
                    hold: Hold::Borrowed { .. },
                    ..
                }
            )
        },
        |v| *v = gone,
    );
    if !in_rcu(env, state) {
        unprotect(state);
    }
    Ok(())
}

/// What becomes of a pointer whose memory may be gone.
pub(crate) fn gone(env: &Env<'_>) -> Value {
    if env.leaks_ok() {
        Value::unknown()
    } else {
        Value::Uninit
    }
}

/// An RCU read section has ended: what it kept alive may be gone.
pub(crate) fn unprotect(state: &mut State) {
    crate::iter::rcu_ended(state);
    state.for_each_pointer(
        |p| {
            matches!(
                p.to,
                To::Kernel {
                    trust: Trust::Rcu,
                    ..
                } | To::Allocated {
                    hold: Hold::Rcu | Hold::Borrowed { counted: true },
                    ..
                }
            )
        },
        |v| {
            let Value::Pointer(p) = v else { return };
            match &mut p.to {
                To::Kernel { trust, .. } => *trust = Trust::Untrusted,
                To::Allocated { hold, .. } => {
                    *hold = match hold {
                        Hold::Rcu => Hold::Lost,
                        _ => Hold::Untrusted,
                    }
                }
                _ => {}
            }
        },
    );
}

/// A call while a lock is held.
pub(crate) fn call_allowed(
    state: &State,
    callee: impl std::fmt::Display,
    under_lock: bool,
) -> Outcome<()> {
    match state.regions.locks.last() {
        Some(lock) if !under_lock => {
            let must =
                "nothing is called while a lock is held that may take long, sleep or take it again";
            let known = format!(
                "{callee} would be, with a lock taken at instruction {}",
                lock.pc
            );
            Err(fail(Rule::Lock, must, &known).hint("leave the lock before the call"))
        }
        _ => Ok(()),
    }
}

/// While a tree compares its nodes, its lock is the kernel's business.
pub(crate) fn not_in_comparison(state: &State) -> Outcome<()> {
    match in_comparison(state) {
        true => Err(refused_in_comparison("locks are neither taken nor left")),
        false => Ok(()),
    }
}

pub(crate) fn in_comparison(state: &State) -> bool {
    let mut callbacks = state.frames.iter().filter_map(|f| f.callback.as_ref());
    callbacks.any(|c| c.under_lock)
}

pub(crate) fn refused_in_comparison(what: &str) -> Box<Failure> {
    let must = format!("{what} in the subprogram by which a tree compares nodes");
    fail(Rule::Lock, &must, "this is called from one")
}

/// A resilient lock in r1 is taken, which may fail, or left; with `irq`, interrupt flags in r2 are saved or restored.
pub(crate) fn resilient(
    env: &mut Env<'_>,
    state: &mut State,
    call: &Call<'_>,
    irq: bool,
    taken: bool,
) -> Outcome<Next> {
    let pc = call.pc;
    let value = *state.reg(Reg::R1);
    let within = argument(env, Reg::R1, &value, Managed::ResSpinLock, call.row.name)?;
    let kind = LockKind::Resilient { irq };
    let mut found = kfunc::Found::default();
    if irq {
        crate::irq::argument(env, state, call, Reg::R2, &mut found)?;
    }
    if !taken {
        leave(env, state, kind, within)?;
        crate::irq::apply(env, state, call, &found)?;
        finish(state, pc, Value::Uninit);
        return Ok(Next::At(pc + 1));
    }
    let mut failed = state.clone();
    take(env, state, pc, kind, within)?;
    crate::irq::apply(env, state, call, &found)?;
    finish(state, pc, Value::constant(0));
    finish(&mut failed, pc, error());
    Ok(Next::Fork {
        now: pc + 1,
        later: pc + 1,
        state: Box::new(failed),
    })
}

/// A negative error number in 32 bits, of which the upper half of the register says nothing.
fn error() -> Value {
    let low = Scalar::from_low_bounds(0, u32::MAX, -4095, -1);
    Value::number(low.unwrap_or_else(Scalar::unknown))
}
