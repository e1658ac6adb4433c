//! Calls of small subprograms → their translation in place.
//!
//! A subprogram that is handed only registers and calls no other costs less where it is called
//! than its call does: arguments need no moving, and what is known of them is known inside.
//!
//! **Invariant:** what is translated in place keeps its own registers, frame and facts; it shares with
//! its caller nothing but the arguments and r0.

use std::collections::BTreeMap;

use cranelift_codegen::ir::{Block, InstBuilder, StackSlot, Value, types};
use cranelift_frontend::Variable;
use probity_isa::{CallTarget, Insn, Pc, Reg};
use probity_verifier::Region;

use crate::alu::of_size;
use crate::error::Error;
use crate::flow::{Function, reached};
use crate::frame::{Frame, Use};
use crate::lowerings::Lowerings;
use crate::translate::Translator;

/// Instructions of a subprogram that is worth it, and of all that is put into one function.
const MAX_INSNS: usize = 48;
const MAX_GROWTH: usize = 480;

/// What a caller keeps for itself while a subprogram is translated in its place.
struct Kept<'a> {
    this: &'a Function,
    frame: Frame,
    regs: Vec<Variable>,
    slots: BTreeMap<i32, Variable>,
    memory: Option<StackSlot>,
    turns: Option<Variable>,
    back: Option<Block>,
}

impl<'a> Translator<'a, '_> {
    /// The frame of a subprogram that may be translated in place.
    fn small(&self, function: &Function) -> Option<Frame> {
        let len = function.range.len();
        if !self.lowerings.has(Lowerings::INLINE)
            || self.back.is_some()
            // What looks at the epoch returns from the function that it is in.
            || self.watched.is_some()
            || function.range == self.this.range
            || len > MAX_INSNS
            || self.grown + len > MAX_GROWTH
        {
            return None;
        }
        let p = self.program();
        for pc in function.range.clone().filter(|pc| reached(p, *pc)) {
            let fits = match p.insns().get(pc)? {
                // Memory that may be the caller's frame must not be taken for another.
                Insn::Load { .. }
                | Insn::Store { .. }
                | Insn::Atomic { .. }
                | Insn::LoadAcquire { .. }
                | Insn::StoreRelease { .. } => !matches!(
                    p.facts().get(pc)?.access.map(|a| a.region),
                    Some(Region::OuterStack | Region::Memory | Region::Mixed) | None
                ),
                Insn::Call(CallTarget::Helper(id)) => {
                    let helper = self.instance.helper(*id, p.prog_type())?;
                    !helper.effects.may_not_return
                }
                // These leave the function, or need something of its own.
                Insn::Call(_)
                | Insn::LoadPacket { .. }
                | Insn::MayGoto { .. }
                | Insn::JumpReg { .. } => false,
                _ => true,
            };
            if !fits {
                return None;
            }
        }
        let frame = crate::call::frame(self.instance, p, function, self.lowerings);
        // A key that lies elsewhere may lie anywhere.
        let near = |pc: Pc| match crate::call::use_of(self.instance, p, self.lowerings, pc) {
            Use::Reads(r, _) => frame.bases.get(pc, r).is_some(),
            _ => true,
        };
        let calls = |pc: &Pc| matches!(p.insns().get(*pc), Some(Insn::Call(_))) && reached(p, *pc);
        let near = function.range.clone().filter(calls).all(near);
        (frame.memory == 0 && near).then_some(frame)
    }

    /// Translates a call of the program's `n`th function in place and gives its r0; `None` where it is to be called.
    pub(crate) fn inline(&mut self, pc: Pc, n: usize) -> Result<Option<Value>, Error> {
        let functions = self.functions;
        let Some(function) = functions.get(n) else {
            return Ok(None);
        };
        let Some(frame) = self.small(function) else {
            return Ok(None);
        };
        self.grown += function.range.len();
        let args: Vec<(Reg, Value)> = function.args.iter().map(|r| (r, self.get(r))).collect();
        let back = self.b.create_block();
        let r0 = self.b.append_block_param(back, types::I64);
        let regs = (0..Reg::COUNT)
            .map(|_| self.b.declare_var(types::I64))
            .collect();
        let slots = frame.values.iter();
        let slots = slots
            .map(|(at, size)| (*at, self.b.declare_var(of_size(*size))))
            .collect();
        self.flush();
        self.local = Default::default();
        let kept = Kept {
            this: std::mem::replace(&mut self.this, function),
            frame: std::mem::replace(&mut self.frame, frame),
            regs: std::mem::replace(&mut self.regs, regs),
            slots: std::mem::replace(&mut self.slots, slots),
            memory: self.memory.take(),
            turns: self.turns.take(),
            back: self.back.replace(back),
        };
        // Comparisons of an earlier translation of the same instructions.
        self.in_tables.retain(|pc| !function.range.contains(pc));
        for (r, v) in args {
            self.set(r, v);
        }
        // Every call has a new frame, which is zeros where nothing was written.
        for (at, size) in &self.frame.values {
            if let Some(slot) = self.slots.get(at) {
                let zero = self.b.ins().iconst(of_size(*size), 0);
                self.b.def_var(*slot, zero);
            }
        }
        let top = self.frame_address(0);
        self.set(Reg::R10, top);
        let done = self.body();
        self.this = kept.this;
        self.frame = kept.frame;
        self.regs = kept.regs;
        self.slots = kept.slots;
        self.memory = kept.memory;
        self.turns = kept.turns;
        self.back = kept.back;
        done.map_err(|e| match e {
            Error::Unsupported { .. } => e,
            _ => self.unsupported(pc, "this call"),
        })?;
        self.b.switch_to_block(back);
        self.b.seal_block(back);
        self.local = Default::default();
        self.words.forget();
        Ok(Some(r0))
    }
}
