//! Where the functions of a program have their stacks, for kernel functions that read at any address.
//!
//! A program that calls one has, in each of its functions, a [`Frames`] that leads to the caller's; the call's state
//! leads to the innermost. A function puts back its caller's when it returns; as a program that took a function's place
//! knows no caller, and puts back nothing, who calls a function puts back its own, too.
//!
//! **Invariant:** when a kernel function is called, what the state leads to is live, and all of it is initialised.

use cranelift_codegen::ir::{InstBuilder, MemFlagsData, StackSlotData, StackSlotKind, types};
use probity_isa::{CallTarget, Insn};
use probity_runtime::{Call, Frames, Instance, KfuncArg};
use probity_verifier::VerifiedProgram;

use crate::flow::{Function, reached};
use crate::translate::Translator;

/// Says of each function whether it is to name its stack.
pub(crate) fn mark(instance: &Instance, p: &VerifiedProgram, functions: &mut [Function]) {
    let reads = |insn: &Insn| match insn {
        Insn::Call(CallTarget::Kfunc { id, .. }) => instance
            .kfunc(*id)
            .is_some_and(|k| k.args.contains(&KfuncArg::Address)),
        _ => false,
    };
    let mut insns = p.insns().iter().enumerate();
    if insns.any(|(pc, insn)| reads(insn) && reached(p, pc)) {
        functions.iter_mut().for_each(|f| f.named = true);
    }
}

impl Translator<'_, '_> {
    /// At a function's start: makes its [`Frames`]. `outermost` is a program's main function.
    pub(crate) fn name_frame(&mut self, outermost: bool, bytes: u32) {
        if !self.this.named {
            return;
        }
        let size = size_of::<Frames>() as u32;
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, size, 3);
        let slot = self.b.create_sized_stack_slot(data);
        // What came before a program that is called in its place is gone.
        let outer = match outermost {
            true => self.constant(0),
            false => self.call_word(Call::FRAMES),
        };
        let (start, end) = match bytes {
            0 => (self.constant(0), self.constant(0)),
            n => (self.frame_address(-(n as i32)), self.frame_address(0)),
        };
        for (at, v) in [
            (Frames::OUTER, outer),
            (Frames::START, start),
            (Frames::END, end),
        ] {
            self.b.ins().stack_store(types::I64, v, slot, at);
        }
        self.named = Some((slot, outer));
        self.rename_frame();
    }

    /// After a call of what may have left something else there.
    pub(crate) fn rename_frame(&mut self) {
        if let Some((slot, _)) = self.named {
            let at = self.b.ins().stack_addr(types::I64, slot, 0);
            let flags = MemFlagsData::new().with_notrap();
            self.b.ins().store(flags, at, self.call, Call::FRAMES);
        }
    }

    /// Before the function returns, or another program takes its place.
    pub(crate) fn forget_frame(&mut self) {
        if let Some((_, outer)) = self.named {
            let flags = MemFlagsData::new().with_notrap();
            self.b.ins().store(flags, outer, self.call, Call::FRAMES);
        }
    }
}
