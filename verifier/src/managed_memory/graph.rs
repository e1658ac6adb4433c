//! Linked lists and red-black trees of allocated structures: nodes move between the program and a list or tree, under its lock.
//!
//! - What is added is owned by the list or tree from then on; the program may use it until the lock is left.
//! - What is taken out is owned by the program, which must release it or give it away.
//!
//! **Invariant:** a list or tree holds nodes of one type at one offset: those that its declaration names.

use std::rc::Rc;

use probity_isa::{Pc, Reg};
use probity_platform::{KfuncSpecial, Managed};

use crate::call::{Next, finish};
use crate::callback::{self, Callback};
use crate::env::Env;
use crate::lock;
use crate::memory::describe;
use crate::reject::{Explain, Outcome, fail};
use crate::report::Rule;
use crate::special::Holds;
use crate::state::{Reference, State};
use crate::value::{Hold, Id, Pointer, To, Value};
use crate::worst::Kind;

/// A red-black tree of fewer than 2^64 nodes is at most so deep: one comparison for each level.
const MOST_COMPARISONS: u64 = 128;

/// What a list or tree holds.
#[derive(Clone, Copy)]
struct Nodes {
    type_id: u32,
    offset: i64,
    /// Its memory outlives an RCU read section.
    counted: bool,
}

/// Whose a node must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Program,
    Any,
}

pub(crate) fn call(
    env: &mut Env<'_>,
    state: &mut State,
    pc: Pc,
    special: KfuncSpecial,
    params: usize,
) -> Outcome<Next> {
    let kind = match special {
        KfuncSpecial::ListPush | KfuncSpecial::ListPop | KfuncSpecial::ListPeek => {
            Managed::ListHead
        }
        _ => Managed::RbRoot,
    };
    let nodes = root(env, state, kind)?;
    let owning = |id: Id| Pointer {
        reference: id,
        ..nodes.pointer(Hold::Owning)
    };
    let borrowed = nodes.pointer(Hold::Borrowed {
        counted: nodes.counted,
    });
    match special {
        KfuncSpecial::ListPush => {
            let reference = node(env, state, nodes, Whose::Program)?;
            give(state, reference, nodes);
            finish(state, pc, Value::unknown());
        }
        KfuncSpecial::RbtreeAdd => {
            lock_only(state)?;
            let reference = node(env, state, nodes, Whose::Program)?;
            let less = match state.reg(Reg::R3) {
                Value::Pointer(p) if p.constant_offset() == Some(0) => match p.to {
                    To::Function(f) => Some(f),
                    _ => None,
                },
                _ => None,
            };
            let Some(subprog) = less else {
                let must = "a tree is given the subprogram that compares its nodes";
                let known = format!("r3 is {}", state.reg(Reg::R3));
                return Err(fail(Rule::BadArgument, must, &known).about(Reg::R3));
            };
            give(state, reference, nodes);
            finish(state, pc, Value::unknown());
            let mut args = [Value::Uninit; 5];
            args[0] = Value::Pointer(borrowed);
            args[1] = Value::Pointer(borrowed);
            env.worst.bound(Kind::Call(pc), Some(MOST_COMPARISONS));
            let plan = Callback {
                call_pc: pc,
                subprog,
                args,
                returns: (0, 1),
                result: Value::unknown(),
                left: None,
                clock: env.fresh_id(),
                under_lock: true,
            };
            return callback::enter(env, state, Rc::new(plan));
        }
        KfuncSpecial::ListPop | KfuncSpecial::RbtreeRemove => {
            if special == KfuncSpecial::RbtreeRemove {
                lock_only(state)?;
                node(env, state, nodes, Whose::Any)?;
            }
            let id = env.fresh_id();
            state.references.push(Reference { id, pc });
            finish(state, pc, Value::Pointer(owning(id).or_null(id)));
        }
        _ => {
            if params > 1 {
                lock_only(state)?;
                node(env, state, nodes, Whose::Any)?;
            }
            let id = env.fresh_id();
            finish(state, pc, Value::Pointer(borrowed.or_null(id)));
        }
    }
    Ok(Next::At(pc + 1))
}

impl Nodes {
    fn pointer(self, hold: Hold) -> Pointer {
        Pointer {
            off: self.offset,
            ..Pointer::new(To::Allocated {
                type_id: self.type_id,
                hold,
                percpu: false,
            })
        }
    }
}

/// The tree is being walked while its nodes are compared.
fn lock_only(state: &State) -> Outcome<()> {
    match lock::in_comparison(state) {
        true => Err(lock::refused_in_comparison("trees are not changed")),
        false => Ok(()),
    }
}

/// The list or tree in r1, whose lock is held.
fn root(env: &Env<'_>, state: &State, kind: Managed) -> Outcome<Nodes> {
    let (name, what) = match kind {
        Managed::ListHead => ("bpf_list_head", "list"),
        _ => ("bpf_rb_root", "tree"),
    };
    let must = format!("r1 points to a `{name}` in a map value or in memory of the program's own");
    let value = state.reg(Reg::R1);
    let wrong = || fail(Rule::BadArgument, &must, &format!("r1 is {value}")).about(Reg::R1);
    let Value::Pointer(p) = value else {
        return Err(wrong());
    };
    let (Some((within, special)), Some(at), false) =
        (lock::fields_of(env, p), p.constant_offset(), p.null)
    else {
        return Err(wrong());
    };
    let Some(field) = special.at(at, &[kind]) else {
        let e = wrong();
        return Err(match &special.problem {
            Some(why) => e.hint(&format!("the kernel would say of the value: {why}")),
            None => e,
        });
    };
    let Holds::Nodes { type_id, offset } = field.holds else {
        return Err(wrong());
    };
    if !state.regions.locks.iter().any(|l| l.within == within) {
        let must = format!("the lock beside the {what} is held");
        let known = match state.regions.locks.last() {
            Some(l) => format!(
                "the lock taken at instruction {} is that of another value",
                l.pc
            ),
            None => "no lock is held".to_string(),
        };
        return Err(fail(Rule::Lock, &must, &known).about(Reg::R1));
    }
    let record = env.record_of(type_id);
    let nodes = [Managed::ListNode, Managed::RbNode];
    let offset = i64::try_from(offset).unwrap_or(i64::MAX);
    if record.problem.is_some() || record.at(offset, &nodes).is_none() {
        let why = record.problem.as_deref().unwrap_or("it has no such node");
        return Err(wrong().hint(&format!("of what the {what} contains: {why}")));
    }
    Ok(Nodes {
        type_id,
        offset,
        counted: record.has(&[Managed::Refcount]),
    })
}

/// The node in r2: its reference, 0 when a list or tree owns it.
fn node(env: &Env<'_>, state: &State, nodes: Nodes, whose: Whose) -> Outcome<Id> {
    let must = match whose {
        Whose::Program => "r2 is a node of what the list or tree contains, owned by the program",
        Whose::Any => "r2 is a node of what the tree contains, owned by the program or the tree",
    };
    let value = state.reg(Reg::R2);
    let Value::Pointer(p) = value else {
        return Err(fail(Rule::BadArgument, must, &format!("r2 is {value}")).about(Reg::R2));
    };
    if p.null {
        let known = format!("r2 is {} or NULL", describe(env, p));
        let e = fail(Rule::NullDereference, must, &known).about(Reg::R2);
        return Err(e.hint("test it for NULL before the call"));
    }
    let known = || format!("r2 is {value}");
    let To::Allocated {
        type_id,
        hold,
        percpu: false,
    } = p.to
    else {
        return Err(fail(Rule::BadArgument, must, &known()).about(Reg::R2));
    };
    if type_id != nodes.type_id || p.constant_offset() != Some(nodes.offset) {
        let e = fail(Rule::BadArgument, must, &known()).about(Reg::R2);
        return Err(e.hint(&format!(
            "it takes type {} at offset {}",
            nodes.type_id, nodes.offset
        )));
    }
    let owned = hold == Hold::Owning && p.reference != 0;
    let borrowed = matches!(hold, Hold::Borrowed { .. });
    match whose {
        Whose::Program if owned => Ok(p.reference),
        Whose::Any if owned || borrowed => Ok(p.reference),
        _ => Err(fail(Rule::Reference, must, &known()).about(Reg::R2)),
    }
}

/// The program's reference goes to the list or tree; its pointers are good until the lock is left.
fn give(state: &mut State, reference: Id, nodes: Nodes) {
    state.references.retain(|r| r.id != reference);
    state.for_each_pointer(
        |p| p.reference == reference,
        |v| {
            let Value::Pointer(p) = v else { return };
            p.reference = 0;
            if let To::Allocated { hold, .. } = &mut p.to {
                *hold = Hold::Borrowed {
                    counted: nodes.counted,
                };
            }
        },
    );
}
