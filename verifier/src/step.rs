//! One instruction: its obligations are checked, then it changes the state and says where execution goes.

use probity_isa::{CallTarget, Imm64, Insn, Pc, Reg};
use probity_objfile::Map;

use crate::call::Next;
use crate::env::Env;
use crate::memory::Kind;
use crate::reject::{Outcome, fail};
use crate::report::Rule;
use crate::state::State;
use crate::value::{MapRef, Pointer, To, Value};
use crate::{alu, arena, atomic, branch, call, kfunc, ksym, memory};

/// Where execution goes on.
pub(crate) enum Step {
    /// On, in the state as it is now.
    To(Pc),
    /// Two ways: on in the state as it is now, and later elsewhere in another.
    Fork {
        now: Pc,
        later: Pc,
        state: Box<State>,
    },
    /// The program has ended.
    End,
}

pub(crate) fn step(env: &mut Env<'_>, state: &mut State, pc: Pc) -> Outcome<Step> {
    let insn = *env.insn(pc);
    env.obligations[pc].check(state, &insn)?;
    let on = Ok(Step::To(env.cfg.next(pc)));
    match insn {
        Insn::Alu {
            op,
            width,
            dst,
            src,
        } => alu::alu(env, state, pc, op, width, dst, src)?,
        Insn::Neg { width, dst } => alu::neg(env, state, pc, width, dst)?,
        Insn::Mov { width, dst, src } => alu::mov(env, state, pc, width, dst, src)?,
        Insn::MovSx {
            width,
            dst,
            src,
            from,
        } => alu::mov_sx(env, state, pc, width, dst, src, from)?,
        Insn::Swap { op, dst, bits } => alu::swap(env, state, pc, op, dst, bits)?,
        Insn::AddrSpaceCast { dst, src, to, from } => {
            arena::cast(env, state, pc, dst, src, to, from)?
        }
        Insn::LoadImm64 { dst, imm } => {
            let value = imm64(env, pc, imm)?;
            state.set(pc, dst, value);
        }
        Insn::Imm64High => {
            return Err(fail(
                Rule::Malformed,
                "execution stays on instruction starts",
                "half of a 64-bit immediate",
            ));
        }
        Insn::Load {
            size,
            signed,
            dst,
            base,
            off,
        } => {
            let kind = if signed { Kind::ReadSigned } else { Kind::Read };
            let place = memory::resolve(env, state, pc, base, off.into(), size.bytes(), kind)?;
            let value = memory::load(env, state, place, base, size, signed)?;
            state.set(pc, dst, value);
        }
        Insn::Store {
            size,
            base,
            off,
            src,
        } => {
            let place =
                memory::resolve(env, state, pc, base, off.into(), size.bytes(), Kind::Write)?;
            memory::store(env, state, place, base, size.bytes(), src)?;
        }
        Insn::Atomic {
            op,
            size,
            base,
            off,
            src,
        } => atomic::atomic(env, state, pc, op, size, base, off, src)?,
        Insn::LoadAcquire {
            size,
            dst,
            base,
            off,
        } => atomic::load_acquire(env, state, pc, size, dst, base, off)?,
        Insn::StoreRelease {
            size,
            base,
            off,
            src,
        } => atomic::store_release(env, state, pc, size, base, off, src)?,
        Insn::LoadPacket { size, index, .. } => {
            if let Some(r) = index {
                memory::no_leak(env, state.reg(r), r)?;
            }
            return to(call::load_packet(env, state, pc, size)?);
        }
        Insn::Jump { .. } => return Ok(Step::To(target(env, pc)?)),
        Insn::JumpIf {
            op,
            width,
            dst,
            src,
            ..
        } => {
            let (jump, next) = (target(env, pc)?, env.cfg.next(pc));
            let (step, ways) = match branch::branch(env, state, pc, op, width, dst, src)? {
                branch::Ways::Taken => (Step::To(jump), 2),
                branch::Ways::Falls => (Step::To(next), 1),
                branch::Ways::Both(other) => (
                    Step::Fork {
                        now: next,
                        later: jump,
                        state: other,
                    },
                    3,
                ),
            };
            env.goes(pc, ways);
            return Ok(step);
        }
        Insn::JumpReg { .. } => {
            let must = "jumps name where they lead";
            return Err(fail(Rule::Malformed, must, "a jump through a register"));
        }
        Insn::MayGoto { .. } => {
            let (jump, next) = (target(env, pc)?, env.cfg.next(pc));
            let mut again = state.clone();
            again.clocks.tick(again.frame().clock);
            return Ok(Step::Fork {
                now: jump,
                later: next,
                state: Box::new(again),
            });
        }
        Insn::Call(CallTarget::Helper(id)) => {
            let kept = Kept::of(state);
            let next = call::helper(env, state, pc, id)?;
            kept.mark_lost(state, pc);
            return to(next);
        }
        Insn::Call(CallTarget::Subprog { .. }) => {
            let entry = insn
                .subprog_target(pc)
                .and_then(|t| env.cfg.subprog_entry(t));
            let Some(entry) = entry else {
                return Err(fail(
                    Rule::Malformed,
                    "a call leads to the start of a subprogram",
                    "it does not",
                ));
            };
            return to(call::subprogram(env, state, pc, entry)?);
        }
        Insn::Call(CallTarget::Kfunc { id, .. }) => {
            let kept = Kept::of(state);
            let next = kfunc::call(env, state, pc, id)?;
            kept.mark_lost(state, pc);
            return to(next);
        }
        Insn::Call(CallTarget::Reg(_)) => {
            let must = "calls name what they call";
            return Err(fail(
                Rule::CallNotAllowed,
                must,
                "a call through a register",
            ));
        }
        Insn::Exit => return to(call::exit(env, state, pc)?),
    }
    on
}

/// Which registers that calls preserve hold pointers: a call that ends what they lead to has set them, for people.
struct Kept([bool; 4]);

const PRESERVED: [Reg; 4] = [Reg::R6, Reg::R7, Reg::R8, Reg::R9];

impl Kept {
    fn of(state: &State) -> Kept {
        Kept(PRESERVED.map(|r| state.reg(r).as_pointer().is_some()))
    }

    fn mark_lost(self, state: &mut State, pc: Pc) {
        for (r, held) in PRESERVED.into_iter().zip(self.0) {
            let value = *state.reg(r);
            if held && value.as_pointer().is_none() {
                state.set(pc, r, value);
            }
        }
    }
}

fn to(next: Next) -> Outcome<Step> {
    Ok(match next {
        Next::At(pc) => Step::To(pc),
        Next::End => Step::End,
        Next::Fork { now, later, state } => Step::Fork { now, later, state },
    })
}

fn target(env: &Env<'_>, pc: Pc) -> Outcome<Pc> {
    let target = env
        .insn(pc)
        .jump_target(pc)
        .and_then(|t| usize::try_from(t).ok());
    target.ok_or_else(|| {
        fail(
            Rule::Malformed,
            "a jump stays within its subprogram",
            "it does not",
        )
    })
}

fn imm64(env: &mut Env<'_>, pc: Pc, imm: Imm64) -> Outcome<Value> {
    Ok(match imm {
        Imm64::Value(x) => Value::constant(x),
        Imm64::MapIdx(index) => {
            let map = MapRef {
                index,
                inner: false,
            };
            env.map(map)?;
            Value::pointer(To::Map(map))
        }
        Imm64::MapIdxValue { index, off } => {
            let map = MapRef {
                index,
                inner: false,
            };
            if arena::is_arena(env, map)? {
                return arena::address(env, map, off);
            }
            let def: &Map = env.map(map)?;
            if !env.map_kind(def)?.direct_value || def.max_entries != 1 {
                let known = format!("map `{}` is not an array of one entry", def.name);
                return Err(fail(
                    Rule::MapKind,
                    "a value's address is taken of such maps only",
                    &known,
                ));
            }
            if off >= def.value_size {
                let must = format!(
                    "the address lies within the {} bytes of the value",
                    def.value_size
                );
                return Err(fail(
                    Rule::OutOfBounds,
                    &must,
                    &format!("it is at offset {off}"),
                ));
            }
            Value::Pointer(Pointer {
                off: i64::from(off),
                ..Pointer::new(To::MapValue(map))
            })
        }
        Imm64::MapFd(_) | Imm64::MapFdValue { .. } => {
            let must = "maps are named by their index in the object";
            return Err(fail(Rule::Malformed, must, "this one is a file descriptor"));
        }
        Imm64::BtfId { id, module } => ksym::address(env, id, module)?,
        Imm64::Func { .. } => {
            let entry = env
                .insn(pc)
                .subprog_target(pc)
                .and_then(|t| env.cfg.subprog_entry(t));
            match entry {
                Some(n) => Value::pointer(To::Function(n)),
                None => {
                    return Err(fail(
                        Rule::Malformed,
                        "a function's address is of a subprogram",
                        "it is not",
                    ));
                }
            }
        }
    })
}
