//! Code × registers × memory → r0: one call, instruction by instruction.
//!
//! **Invariant:** every step checks what it relies on, so that whatever the proof overlooked ends as a [`Fault`].

use probity_isa::{AtomicOp, CallTarget, Insn, Pc, Reg, Size};
use probity_runtime::{
    BpfArena, Call, Fault, FaultKind, Holding, Memory, Reenter, call_helper, call_kfunc,
    kernel_read, packet_load,
};

use crate::alu::{self, Regs, compare, operand, sign_extend};
use crate::code::{Code, Site, function_of};
use crate::{Observer, View};

/// Turns that `may_goto` grants a function, as in Linux.
const MAY_GOTO_TURNS: u32 = 8 * 1024 * 1024;

/// Functions under way at once: eight of each program that tail calls can chain, and their callbacks.
pub(crate) const MAX_FRAMES: usize = 8 * 34;

/// Callbacks inside callbacks, each of which takes some of the host's own stack.
const MAX_NESTING: usize = 8;

/// The state of one call.
pub(crate) struct Machine<'a, O> {
    pub code: &'a [Code],
    pub memory: Memory,
    pub observer: &'a mut O,
    /// Instructions that may still be executed.
    pub budget: u64,
    /// The policy demands that loops and callbacks look at the epoch.
    pub watched: bool,
    pub nesting: usize,
    /// From inside of a callback.
    pub fault: Option<Fault>,
}

/// What a called function's exit goes back to.
struct Caller {
    program: usize,
    pc: Pc,
    saved: [u64; 5],
    turns: u32,
    /// Callers below the main function that it belongs to.
    below: usize,
}

/// Where execution stands.
struct At {
    program: usize,
    pc: Pc,
}

impl<O: Observer> Machine<'_, O> {
    /// Runs the function at `pc` in a frame of its own until it exits.
    pub fn run(
        &mut self,
        call: &mut Call<'_>,
        program: usize,
        pc: Pc,
        args: [u64; 5],
    ) -> Result<u64, Fault> {
        let mut at = At { program, pc };
        let mut regs: Regs = [0; Reg::COUNT];
        regs[1..6].copy_from_slice(&args);
        let mut callers: Vec<Caller> = Vec::new();
        let mut turns = MAY_GOTO_TURNS;
        // Callers of the running program's main function: what an exception leaves alone.
        let mut below = 0;
        let fault = |at: &At, kind| Fault::new(at.program, at.pc, kind);
        regs[10] = self
            .memory
            .push_frame()
            .ok_or_else(|| fault(&at, FaultKind::CallDepth))?;
        if self.watched && self.nesting > 0 && call.is_late() {
            return Err(fault(&at, FaultKind::Epoch));
        }
        let code = self.code;
        let mut current = code
            .get(program)
            .ok_or_else(|| fault(&at, FaultKind::NoProgram))?;
        loop {
            let (Some(insn), Some(site)) = (current.insns.get(at.pc), current.sites.get(at.pc))
            else {
                return Err(fault(&at, FaultKind::Jump));
            };
            if self.budget == 0 {
                return Err(fault(&at, FaultKind::Budget));
            }
            self.budget -= 1;
            self.observer.step(at.program, at.pc, &regs);
            let view = View {
                memory: &self.memory,
                call,
            };
            self.observer.look(at.program, at.pc, &regs, &view);
            let mut next = at.pc + 1;
            // An exit, or a packet load outside of the packet, which is one with r0 = 0.
            let mut exits = false;
            let memory_fault = |kind, address, size: Size| Fault {
                address,
                size: size.bytes() as u64,
                ..Fault::new(at.program, at.pc, kind)
            };
            if let Site::Arena = *site {
                let arena = current.arena.as_ref().and_then(|m| m.arena());
                let arena = arena.ok_or_else(|| fault(&at, FaultKind::Instruction))?;
                access_arena(arena, insn, &mut regs);
                at.pc = next;
                continue;
            }
            match *insn {
                Insn::Alu { .. }
                | Insn::Neg { .. }
                | Insn::Mov { .. }
                | Insn::MovSx { .. }
                | Insn::Swap { .. } => {
                    alu::step(*insn, &mut regs);
                }
                Insn::LoadImm64 { dst, .. } => {
                    let Site::Value(v) = *site else {
                        return Err(fault(&at, FaultKind::Instruction));
                    };
                    regs[dst.index()] = v;
                    next = at.pc + 2;
                }
                Insn::Load {
                    size,
                    signed,
                    dst,
                    base,
                    off,
                } => {
                    let address = regs[base.index()].wrapping_add_signed(i64::from(off));
                    let v = match *site {
                        Site::Hidden(word) => self.memory.hidden(call, word),
                        Site::Kernel => Some(kernel_read(call, address, size)),
                        Site::Promised { kernel, absent } => {
                            let v = match kernel {
                                true => Some(kernel_read(call, address, size)),
                                false => self.memory.load(call, address, size),
                            };
                            v.map(|v| if v == 0 { absent } else { v })
                        }
                        _ => self.memory.load(call, address, size),
                    };
                    let v = v.ok_or_else(|| memory_fault(FaultKind::Load, address, size))?;
                    regs[dst.index()] = if signed { sign_extend(v, size) } else { v };
                }
                Insn::Store {
                    size,
                    base,
                    off,
                    src,
                } => {
                    let address = regs[base.index()].wrapping_add_signed(i64::from(off));
                    if !self.memory.store(call, address, size, operand(&regs, src)) {
                        return Err(memory_fault(FaultKind::Store, address, size));
                    }
                }
                Insn::LoadAcquire {
                    size,
                    dst,
                    base,
                    off,
                } => {
                    let address = regs[base.index()].wrapping_add_signed(i64::from(off));
                    let v = self.memory.load_acquire(call, address, size);
                    regs[dst.index()] =
                        v.ok_or_else(|| memory_fault(FaultKind::Load, address, size))?;
                }
                Insn::StoreRelease {
                    size,
                    base,
                    off,
                    src,
                } => {
                    let address = regs[base.index()].wrapping_add_signed(i64::from(off));
                    if !self
                        .memory
                        .store_release(call, address, size, regs[src.index()])
                    {
                        return Err(memory_fault(FaultKind::Store, address, size));
                    }
                }
                Insn::Atomic {
                    op,
                    size,
                    base,
                    off,
                    src,
                } => {
                    let address = regs[base.index()].wrapping_add_signed(i64::from(off));
                    let old =
                        self.memory
                            .atomic(call, op, size, address, regs[src.index()], regs[0]);
                    let old = old.ok_or_else(|| memory_fault(FaultKind::Atomic, address, size))?;
                    fetched(op, src, old, &mut regs);
                }
                Insn::LoadPacket { size, index, imm } => {
                    if regs[6] != call.ctx {
                        return Err(memory_fault(FaultKind::Load, regs[6], size));
                    }
                    let offset = imm.wrapping_add(index.map_or(0, |r| regs[r.index()] as i32));
                    // As after a call.
                    regs[1..6].fill(0);
                    match packet_load(call, offset, size) {
                        Some(v) => regs[0] = v,
                        None => {
                            regs[0] = 0;
                            exits = true;
                        }
                    }
                }
                Insn::Jump { rel, .. } => {
                    next = target(&at, rel).ok_or_else(|| fault(&at, FaultKind::Jump))?
                }
                Insn::JumpIf {
                    op,
                    width,
                    dst,
                    src,
                    rel,
                } => {
                    if compare(op, width, regs[dst.index()], operand(&regs, src)) {
                        next = target(&at, i32::from(rel))
                            .ok_or_else(|| fault(&at, FaultKind::Jump))?;
                    }
                }
                Insn::JumpReg { dst } => {
                    let to = usize::try_from(regs[dst.index()]).unwrap_or(usize::MAX);
                    if current.targets.binary_search(&to).is_err() {
                        return Err(fault(&at, FaultKind::Jump));
                    }
                    next = to;
                }
                Insn::MayGoto { rel } => match turns.checked_sub(1) {
                    Some(left) => turns = left,
                    None => {
                        next = target(&at, i32::from(rel))
                            .ok_or_else(|| fault(&at, FaultKind::Jump))?
                    }
                },
                Insn::Call(CallTarget::Subprog { rel }) => {
                    let to =
                        target(&at, rel).filter(|to| current.functions.binary_search(to).is_ok());
                    let to = to.ok_or_else(|| fault(&at, FaultKind::Jump))?;
                    let saved = [regs[6], regs[7], regs[8], regs[9], regs[10]];
                    callers.push(Caller {
                        program: at.program,
                        pc: next,
                        saved,
                        turns,
                        below,
                    });
                    turns = MAY_GOTO_TURNS;
                    regs[10] = self
                        .memory
                        .push_frame()
                        .ok_or_else(|| fault(&at, FaultKind::CallDepth))?;
                    next = to;
                }
                Insn::Call(CallTarget::Helper(_)) => {
                    let Site::Helper(n) = *site else {
                        return Err(fault(&at, FaultKind::Instruction));
                    };
                    let Some(helper) = current.helpers.get(n) else {
                        return Err(fault(&at, FaultKind::Instruction));
                    };
                    let args = [regs[1], regs[2], regs[3], regs[4], regs[5]];
                    regs[0] = call_helper(self, call, helper, args).map_err(|bad| Fault {
                        address: bad.value,
                        size: bad.size,
                        ..fault(&at, bad.kind())
                    })?;
                    if self.watched {
                        call.note(Holding::of(helper), regs[0]);
                    }
                    if let Some(inner) = self.fault.take() {
                        return Err(inner);
                    }
                    regs[1..6].fill(0);
                    let gone = helper.effects.may_not_return && regs[0] == 0;
                    if let Some(program) = call.next().filter(|_| gone) {
                        // In place of the function that was running.
                        at.program = program as usize;
                        current = code
                            .get(at.program)
                            .ok_or_else(|| fault(&at, FaultKind::NoProgram))?;
                        self.memory.pop_frame();
                        regs = [0; Reg::COUNT];
                        regs[1] = call.ctx;
                        regs[10] = self
                            .memory
                            .push_frame()
                            .ok_or_else(|| fault(&at, FaultKind::CallDepth))?;
                        turns = MAY_GOTO_TURNS;
                        below = callers.len();
                        next = 0;
                    }
                }
                Insn::Call(CallTarget::Kfunc { .. }) => {
                    let Site::Kfunc(n) = *site else {
                        return Err(fault(&at, FaultKind::Instruction));
                    };
                    let Some(kfunc) = current.kfuncs.get(n) else {
                        return Err(fault(&at, FaultKind::Instruction));
                    };
                    let args = [regs[1], regs[2], regs[3], regs[4], regs[5]];
                    regs[0] = call_kfunc(self, call, kfunc, args).map_err(|bad| Fault {
                        address: bad.value,
                        size: bad.size,
                        ..fault(&at, bad.kind())
                    })?;
                    if let Some(inner) = self.fault.take() {
                        return Err(inner);
                    }
                    regs[1..6].fill(0);
                    if let Some(cookie) = call.take_thrown() {
                        for _ in callers.drain(below..) {
                            self.memory.pop_frame();
                        }
                        match current.exception_callback {
                            Some(callback) => {
                                self.memory.pop_frame();
                                regs = [0; Reg::COUNT];
                                regs[1] = cookie;
                                regs[10] = self
                                    .memory
                                    .push_frame()
                                    .ok_or_else(|| fault(&at, FaultKind::CallDepth))?;
                                turns = MAY_GOTO_TURNS;
                                next = callback;
                            }
                            None => {
                                regs[0] = cookie;
                                exits = true;
                            }
                        }
                    }
                }
                Insn::Exit => exits = true,
                Insn::Imm64High | Insn::AddrSpaceCast { .. } | Insn::Call(CallTarget::Reg(_)) => {
                    return Err(fault(&at, FaultKind::Instruction));
                }
            }
            if exits {
                self.memory.pop_frame();
                let Some(caller) = callers.pop() else {
                    return Ok(regs[0]);
                };
                regs[1..6].fill(0);
                regs[6..11].copy_from_slice(&caller.saved);
                at.program = caller.program;
                next = caller.pc;
                turns = caller.turns;
                below = caller.below;
                current = code
                    .get(at.program)
                    .ok_or_else(|| fault(&at, FaultKind::NoProgram))?;
            }
            let back = self.watched && next <= at.pc && !exits;
            at.pc = next;
            if back && call.is_late() {
                return Err(fault(&at, FaultKind::Epoch));
            }
        }
    }
}

impl<O: Observer> Reenter for Machine<'_, O> {
    fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }

    fn enter(&mut self, call: &mut Call<'_>, func: u64, args: [u64; 4]) -> u64 {
        let start = function_of(func);
        let known = start.filter(|(program, pc)| {
            self.code
                .get(*program)
                .is_some_and(|c| c.functions.binary_search(pc).is_ok())
        });
        let result = match known {
            Some((program, pc)) if self.nesting < MAX_NESTING => {
                self.nesting += 1;
                let [r1, r2, r3, r4] = args;
                let result = self.run(call, program, pc, [r1, r2, r3, r4, 0]);
                self.nesting -= 1;
                result
            }
            Some((program, pc)) => Err(Fault::new(program, pc, FaultKind::CallDepth)),
            None => Err(Fault {
                address: func,
                ..Fault::new(0, 0, FaultKind::Jump)
            }),
        };
        result.unwrap_or_else(|fault| {
            self.fault = Some(fault);
            1
        })
    }
}

/// An access to the arena, or a cast to or from its addresses.
fn access_arena(arena: &BpfArena, insn: &Insn, regs: &mut Regs) {
    match *insn {
        Insn::AddrSpaceCast { dst, src, to, .. } => {
            regs[dst.index()] = arena.cast(regs[src.index()], to != 0);
        }
        Insn::Load {
            size,
            signed,
            dst,
            base,
            off,
        } => {
            let v = arena.load(regs[base.index()], off, size);
            regs[dst.index()] = if signed { sign_extend(v, size) } else { v };
        }
        Insn::Store {
            size,
            base,
            off,
            src,
        } => arena.store(regs[base.index()], off, size, operand(regs, src)),
        Insn::LoadAcquire {
            size,
            dst,
            base,
            off,
        } => regs[dst.index()] = arena.load_acquire(regs[base.index()], off, size),
        Insn::StoreRelease {
            size,
            base,
            off,
            src,
        } => arena.store_release(regs[base.index()], off, size, regs[src.index()]),
        Insn::Atomic {
            op,
            size,
            base,
            off,
            src,
        } => {
            let place = (regs[base.index()], off);
            let old = arena.atomic(op, size, place, regs[src.index()], regs[0]);
            fetched(op, src, old, regs);
        }
        _ => {}
    }
}

/// What an atomic operation that fetches leaves in registers.
fn fetched(op: AtomicOp, src: Reg, old: u64, regs: &mut Regs) {
    match op {
        AtomicOp::Cmpxchg => regs[0] = old,
        _ if op.fetches() => regs[src.index()] = old,
        _ => {}
    }
}

#[inline]
fn target(at: &At, rel: i32) -> Option<Pc> {
    (at.pc + 1).checked_add_signed(rel as isize)
}
