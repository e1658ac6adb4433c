//! Structures that the program allocates: made, freed, counted, read and written member by member.
//!
//! - An owning pointer carries a reference, to be released or given away on every path.
//! - Members are plain numbers, pointers among them too; managed fields are left alone.
//!
//! **Invariant:** memory of each CPU is never accessed through the pointer that stands for all of it.

use probity_btf::{Btf, Type, TypeId};
use probity_isa::{Pc, Reg};
use probity_platform::{KfuncSpecial, Managed};

use crate::call::{Next, finish, release};
use crate::env::Env;
use crate::kfunc::Call;
use crate::kptr::untouchable;
use crate::memory::{Kind, Place, describe};
use crate::reject::{Explain, Outcome, fail, unsupported};
use crate::report::{Region, Rule};
use crate::state::{Reference, State};
use crate::value::{Hold, Pointer, To, Value};

/// A load or store through a pointer to an allocated structure.
pub(crate) fn access(
    env: &Env<'_>,
    p: &Pointer,
    reg: Reg,
    off: i64,
    size: usize,
    kind: Kind,
) -> Outcome<(Place, Region, Option<i64>)> {
    let To::Allocated {
        type_id,
        hold,
        percpu,
    } = p.to
    else {
        return Err(unsupported("allocated structures"));
    };
    let must = "the access is to a member of an allocated structure";
    if percpu {
        let known = format!("{reg} stands for the memory of all CPUs");
        let e = fail(Rule::BadPointer, must, &known).about(reg);
        return Err(e.hint("use bpf_this_cpu_ptr() or bpf_per_cpu_ptr()"));
    }
    if hold == Hold::Lost {
        let known = format!("the RCU read section in which {reg} was found has ended");
        return Err(fail(Rule::BadPointer, must, &known).about(reg));
    }
    if kind.writes() && hold == Hold::Untrusted {
        let known = format!("nothing keeps what {reg} points to alive; it may be read only");
        return Err(fail(Rule::ReadOnly, "the memory may be written", &known).about(reg));
    }
    let at = p.constant_offset().map(|o| o.saturating_add(off));
    let Some(at) = at.filter(|at| *at >= 0) else {
        return Err(fail(Rule::OutOfBounds, must, &describe(env, p)).about(reg));
    };
    let record = env.record_of(type_id);
    let (low, high) = (i128::from(at), i128::from(at) + size as i128);
    if let Some(field) = record.overlap(low, high)
        && hold != Hold::Untrusted
    {
        return Err(untouchable(field, record.problem.as_deref()).about(reg));
    }
    let Some(btf) = env.object.btf.as_deref() else {
        return Err(unsupported("allocated structures without types").about(reg));
    };
    let id = TypeId(type_id);
    let outside = || {
        let known = format!(
            "{size} bytes at offset {at} of `struct {}` ({}) are no member",
            btf.name(id),
            btf.path_at(id, at as u64)
        );
        fail(Rule::OutOfBounds, must, &known).about(reg)
    };
    let inside = at as u64 + size as u64 <= u64::from(btf.size_of(id).unwrap_or(0));
    let member = btf.member_at(id, at as u64, size as u64).filter(|_| inside);
    let fits = match member {
        Some(leaf) => {
            let field = leaf.field;
            let whole = field.byte_offset() == at as u64 && field.byte_size() == size as u64;
            whole || !matches!(btf.resolved(field.ty), Some(Type::Ptr(_)))
        }
        None => inside && in_array(btf, id, at as u64, size as u64, 0),
    };
    if !fits {
        return Err(outside());
    }
    let region = match hold {
        Hold::Untrusted => Region::Kernel,
        _ => Region::Memory,
    };
    Ok((Place::Plain, region, Some(at)))
}

/// Arrays of numbers are also accessed across their elements.
fn in_array(btf: &Btf, id: TypeId, at: u64, size: u64, depth: u32) -> bool {
    let found = btf.members(id).iter().find_map(|m| {
        let start = u64::from(m.bit_offset / 8);
        let ty = btf.resolve(m.ty);
        let end = start.checked_add(u64::from(btf.size_of(ty)?))?;
        (m.bitfield_size == 0 && start <= at && at.checked_add(size)? <= end)
            .then(|| (ty, at - start))
    });
    let Some((ty, at)) = found.filter(|_| depth < 8) else {
        return false;
    };
    match btf.ty(ty) {
        Some(Type::Struct(_)) => in_array(btf, ty, at, size, depth + 1),
        Some(Type::Array { elem, .. }) => {
            let elem = btf.resolve(elem);
            let each = u64::from(btf.size_of(elem).unwrap_or(0));
            match btf.ty(elem) {
                Some(Type::Int { .. } | Type::Enum(_) | Type::Enum64(_)) => true,
                Some(Type::Struct(_)) if each > 0 => {
                    let within = at % each;
                    within + size <= each && in_array(btf, elem, within, size, depth + 1)
                }
                _ => false,
            }
        }
        _ => false,
    }
}

/// Memory of a structure of the program's types.
pub(crate) fn new(env: &mut Env<'_>, state: &mut State, pc: Pc, percpu: bool) -> Outcome<Next> {
    let must = "the structure to allocate is named by its type, known when the program is verified";
    let type_id = match state.reg(Reg::R1) {
        Value::Number(n) => {
            env.origins.need(n.origin);
            n.set.as_constant().and_then(|id| u32::try_from(id).ok())
        }
        _ => None,
    };
    let wrong = |known: &str| fail(Rule::BadArgument, must, known).about(Reg::R1);
    let Some(type_id) = type_id else {
        return Err(wrong(&format!("r1 is {}", state.reg(Reg::R1))));
    };
    let Some(btf) = env.object.btf.as_deref() else {
        return Err(wrong("the object has no types"));
    };
    let id = TypeId(type_id);
    let Some(Type::Struct(s)) = btf.ty(id) else {
        return Err(wrong(&format!("type {type_id} is no structure")));
    };
    let record = env.record_of(type_id);
    if let Some(why) = &record.problem {
        let known = format!("the kernel would not take `struct {}`: {why}", btf.name(id));
        return Err(wrong(&known));
    }
    if let Some(why) = env.records.refused(btf, env.platform) {
        return Err(wrong(&format!(
            "the kernel would not take the types: {why}"
        )));
    }
    if percpu {
        let most = env.platform.managed.percpu_bytes;
        if s.size > most {
            let known = format!("it has {} bytes; {most} is the most on each CPU", s.size);
            return Err(wrong(&known));
        }
        if !record.fields.is_empty() || !numbers_only(btf, id, &mut 4096, 0) {
            return Err(wrong("memory of each CPU holds plain numbers only"));
        }
    }
    let id = env.fresh_id();
    let p = Pointer {
        reference: id,
        ..Pointer::new(To::Allocated {
            type_id,
            hold: Hold::Owning,
            percpu,
        })
    };
    state.references.push(Reference { id, pc });
    finish(state, pc, Value::Pointer(p.or_null(id)));
    Ok(Next::At(pc + 1))
}

/// No pointers and nothing managed, at any depth.
fn numbers_only(btf: &Btf, id: TypeId, steps: &mut u32, depth: u32) -> bool {
    if depth > 8 {
        return false;
    }
    btf.members(id).iter().all(|m| {
        let Some(left) = steps.checked_sub(1) else {
            return false;
        };
        *steps = left;
        let mut ty = btf.resolve(m.ty);
        for _ in 0..8 {
            match btf.ty(ty) {
                Some(Type::Array { elem, .. }) => ty = btf.resolve(elem),
                _ => break,
            }
        }
        match btf.ty(ty) {
            Some(Type::Int { .. } | Type::Enum(_) | Type::Enum64(_)) => true,
            Some(Type::Struct(_)) => numbers_only(btf, ty, steps, depth + 1),
            _ => false,
        }
    })
}

/// The structure is freed.
pub(crate) fn drop(env: &mut Env<'_>, state: &mut State, pc: Pc, percpu: bool) -> Outcome<Next> {
    let must = match percpu {
        false => "what is freed is an allocated structure that the program owns",
        true => "what is freed is memory of each CPU that the program owns",
    };
    let value = *state.reg(Reg::R1);
    let reference = match value {
        Value::Pointer(p) if p.null => {
            let known = format!("r1 is {} or NULL", describe(env, &p));
            let e = fail(Rule::NullDereference, must, &known).about(Reg::R1);
            return Err(e.hint("test it for NULL before the call"));
        }
        Value::Pointer(p) => match p.to {
            To::Allocated {
                hold: Hold::Owning,
                percpu: each,
                ..
            } if each == percpu && p.constant_offset() == Some(0) => p.reference,
            _ => 0,
        },
        _ => 0,
    };
    if reference == 0 {
        let known = format!("r1 is {value}");
        return Err(fail(Rule::Reference, must, &known).about(Reg::R1));
    }
    release(env, state, reference)?;
    finish(state, pc, Value::Uninit);
    Ok(Next::At(pc + 1))
}

/// One more owner of a structure that counts them.
fn count(env: &mut Env<'_>, state: &mut State, pc: Pc) -> Outcome<Next> {
    let must = "an allocated structure with a `bpf_refcount` gets one more owner";
    let value = *state.reg(Reg::R1);
    let wrong = || fail(Rule::BadArgument, must, &format!("r1 is {value}")).about(Reg::R1);
    let Value::Pointer(p) = value else {
        return Err(wrong());
    };
    let To::Allocated {
        type_id,
        hold,
        percpu: false,
    } = p.to
    else {
        return Err(wrong());
    };
    if p.null || matches!(hold, Hold::Untrusted | Hold::Lost) || p.constant_offset() != Some(0) {
        return Err(wrong());
    }
    if !env.record_of(type_id).has(&[Managed::Refcount]) {
        return Err(wrong());
    }
    let id = env.fresh_id();
    let new = Pointer {
        reference: id,
        id,
        ..Pointer::new(To::Allocated {
            type_id,
            hold: Hold::Owning,
            percpu: false,
        })
    };
    // The last owner may be gone already, unless it is the program itself.
    let new = if hold == Hold::Owning {
        new
    } else {
        new.or_null(id)
    };
    state.references.push(Reference { id, pc });
    finish(state, pc, Value::Pointer(new));
    Ok(Next::At(pc + 1))
}

/// One CPU's part of memory of each CPU.
pub(crate) fn of_cpu(env: &mut Env<'_>, type_id: u32, nullable: bool) -> Value {
    let p = Pointer::new(To::Allocated {
        type_id,
        hold: Hold::Rcu,
        percpu: false,
    });
    Value::Pointer(match nullable {
        true => p.or_null(env.fresh_id()),
        false => p,
    })
}

/// A call of a kernel function that is about managed memory; `None` when it is about something else.
pub(crate) fn special(
    env: &mut Env<'_>,
    state: &mut State,
    call: &Call<'_>,
) -> Outcome<Option<Next>> {
    let pc = call.pc;
    let Some(special) = call.row.special else {
        return Ok(None);
    };
    Ok(Some(match special {
        KfuncSpecial::ObjNew => new(env, state, pc, false)?,
        KfuncSpecial::PercpuObjNew => new(env, state, pc, true)?,
        KfuncSpecial::ObjDrop => drop(env, state, pc, false)?,
        KfuncSpecial::PercpuObjDrop => drop(env, state, pc, true)?,
        KfuncSpecial::RefcountAcquire => count(env, state, pc)?,
        KfuncSpecial::ListPush
        | KfuncSpecial::ListPop
        | KfuncSpecial::ListPeek
        | KfuncSpecial::RbtreeAdd
        | KfuncSpecial::RbtreeRemove
        | KfuncSpecial::RbtreePeek => {
            let params = call.proto.params.len();
            crate::graph::call(env, state, pc, special, params)?
        }
        KfuncSpecial::ResSpinLock { irq } => crate::lock::resilient(env, state, call, irq, true)?,
        KfuncSpecial::ResSpinUnlock { irq } => {
            crate::lock::resilient(env, state, call, irq, false)?
        }
        _ => return Ok(None),
    }))
}
