//! Checks of the host's epoch, where the policy demands them: loops and callbacks that look whether the call is to end.
//!
//! A call that is late, and holds nothing, notes where it was and returns; each of its callers
//! looks for the note behind the call and returns likewise, and the engine makes a fault of it.
//!
//! **Invariant:** every loop of a function has a check at its head, however its jumps are lowered.

use std::collections::BTreeSet;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use probity_isa::{Insn, Pc};
use probity_platform::ArgKind;
use probity_runtime::{Bound, Call, Holding};
use probity_verifier::VerifiedProgram;

use crate::flow::{Function, reached, successors};
use crate::symbol::Symbol;
use crate::translate::Translator;

/// The heads of a function's loops: where control comes back to, and where such a place jumps on to.
pub(crate) fn loop_heads(p: &VerifiedProgram, f: &Function, tables: &[Pc]) -> BTreeSet<Pc> {
    let mut heads = BTreeSet::new();
    for pc in f.range.clone().filter(|pc| reached(p, *pc)) {
        heads.extend(successors(p, pc).filter(|to| *to <= pc));
        if matches!(p.insns()[pc], Insn::JumpReg { .. }) {
            heads.extend(tables.iter().filter(|to| **to <= pc));
        }
    }
    let mut work: Vec<Pc> = heads.iter().copied().collect();
    while let Some(pc) = work.pop() {
        if matches!(p.insns().get(pc), Some(Insn::Jump { .. })) {
            work.extend(successors(p, pc).filter(|to| heads.insert(*to)));
        }
    }
    heads
}

impl Translator<'_, '_> {
    /// Returns from the function when the call is late and holds nothing.
    pub(crate) fn check_epoch(&mut self, pc: Pc) {
        let flags = MemFlagsData::new().with_notrap();
        let count = self.address_of(Symbol::Epoch, 0);
        // Atomic, as another thread writes it: a plain load might be done once for all laps.
        let now = self.b.ins().atomic_load(types::I64, flags, count);
        let deadline = self.call_word(Call::DEADLINE);
        let late = self.b.ins().icmp(IntCC::UnsignedGreaterThan, now, deadline);
        let (out, free, on) = (
            self.b.create_block(),
            self.b.create_block(),
            self.b.create_block(),
        );
        self.b.set_cold_block(out);
        self.b.set_cold_block(free);
        self.b.ins().brif(late, out, &[], on, &[]);
        self.b.switch_to_block(out);
        let held = self.call_word(Call::HELD);
        self.b.ins().brif(held, on, &[], free, &[]);
        self.b.switch_to_block(free);
        let place = self.constant(pc as u64 + 1);
        self.b.ins().store(flags, place, self.call, Call::ENDED);
        self.leave();
        self.b.switch_to_block(on);
    }

    /// Behind a call that may have been ended inside: returns likewise.
    pub(crate) fn leave_if_ended(&mut self) {
        let ended = self.call_word(Call::ENDED);
        let (out, on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(out);
        self.b.ins().brif(ended, out, &[], on, &[]);
        self.b.switch_to_block(out);
        self.leave();
        self.b.switch_to_block(on);
    }

    /// What every function gives then: to a helper with a callback it means that there is to be no other lap.
    fn leave(&mut self) {
        let one = self.constant(1);
        self.forget_frame();
        self.b.ins().return_(&[one]);
    }

    /// Notes what a helper call acquired or released, and leaves when its callback was ended.
    pub(crate) fn watch_helper(&mut self, helper: &Bound, r0: Value) {
        let holding = Holding::of(helper);
        if holding != Holding::Same {
            let held = self.call_word(Call::HELD);
            let changed = match holding {
                Holding::Less => self.b.ins().iadd_imm_s(held, -1),
                Holding::MoreUnlessNull => {
                    let some = self.b.ins().icmp_imm_u(IntCC::NotEqual, r0, 0);
                    let some = self.b.ins().uextend(types::I64, some);
                    self.b.ins().iadd(held, some)
                }
                _ => self.b.ins().iadd_imm_s(held, 1),
            };
            let flags = MemFlagsData::new().with_notrap();
            self.b.ins().store(flags, changed, self.call, Call::HELD);
        }
        let calls = |k: &ArgKind| matches!(k, ArgKind::Func(c) if !c.later());
        if helper.args.iter().any(|a| calls(&a.kind)) {
            self.leave_if_ended();
        }
    }
}
