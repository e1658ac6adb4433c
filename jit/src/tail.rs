//! Tail calls → jumps to another program's main function, which leave no frame behind.
//!
//! Functions that make tail calls, and all that these may lead to, have Cranelift's convention for them;
//! a host enters such a program by a function of its own convention ([`enter`]).
//! Which program it is stands in a slot of a program array, which the code reads itself where the proof knows the array.
//!
//! A slot holds an index of the instance's programs, whose code lives as long as any of it runs; so what a host puts
//! there meanwhile is the old program or the new one, and either is there.
//!
//! **Invariant:** the main functions of an instance have one convention, as the table that leads to them says nothing of it.
//!
//! **Invariant:** no helper is known by its name: what may not return and takes a context, a map and a number jumps.

use cranelift_codegen::Context;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    ExtFuncData, ExternalName, InstBuilder, MemFlagsData, UserFuncName, Value, types,
};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use probity_isa::{CallTarget, Insn, Pc, Reg};
use probity_platform::ArgKind;
use probity_runtime::{Bound, Call, Instance, MAX_TAIL_CALLS, Slots};
use probity_verifier::VerifiedProgram;

use crate::call::signature;
use crate::flow::{Function, reached};
use crate::lowerings::Lowerings;
use crate::symbol::Symbol;
use crate::target::Target;
use crate::translate::Translator;

/// Says of each function of a program whether it has the convention of tail calls.
pub(crate) fn mark(instance: &Instance, p: &VerifiedProgram, functions: &mut [Function]) {
    if !instance.programs().iter().any(|p| p.tail_calls()) {
        return;
    }
    let jumps = |pc: Pc| match p.insns().get(pc) {
        Some(Insn::Call(CallTarget::Helper(id))) if reached(p, pc) => {
            let helper = instance.helper(*id, p.prog_type());
            helper.is_some_and(|h| h.effects.may_not_return)
        }
        _ => false,
    };
    for (n, f) in functions.iter_mut().enumerate() {
        // What helpers call back has their convention.
        f.tail = n == 0 || (!f.callback && f.range.clone().any(jumps));
    }
}

/// The function by which a host calls a program whose main function has the convention of tail calls.
pub(crate) fn enter(
    index: usize,
    target: &Target,
    ctx: &mut Context,
    builder: &mut FunctionBuilderContext,
) {
    ctx.func.signature = signature(target.isa.default_call_conv(), 2);
    ctx.func.name = UserFuncName::user(index as u32, Symbol::ENTRY);
    let main = Symbol::Function {
        program: index as u32,
        function: 0,
    };
    let mut b = FunctionBuilder::new(&mut ctx.func, builder);
    let block = b.create_block();
    b.append_block_params_for_function_params(block);
    b.switch_to_block(block);
    let name = b.func.declare_imported_user_function(main.name());
    let signature = b.import_signature(signature(CallConv::Tail, 2));
    let main = b.import_function(ExtFuncData {
        name: ExternalName::user(name),
        signature,
        colocated: true,
        patchable: false,
    });
    let args = b.block_params(block).to_vec();
    let call = b.ins().call(main, &args);
    let r0 = b.inst_results(call)[0];
    b.ins().return_(&[r0]);
    b.seal_all_blocks();
    b.finalize(target.isa.frontend_config());
}

impl Translator<'_, '_> {
    /// The program array that a call of a helper jumps through, when that is known.
    fn slots_of(&self, pc: Pc, helper: &Bound) -> Option<(usize, Slots)> {
        let jumps = matches!(helper.args, [c, m, i]
            if matches!(c.kind, ArgKind::Ctx) && matches!(m.kind, ArgKind::Map) && matches!(i.kind, ArgKind::Anything));
        let map = self.program().facts().get(pc)?.map?;
        let slots = self.instance.map(map)?.slots()?;
        (jumps && slots.programs && self.lowerings.has(Lowerings::TAILS)).then_some((map, slots))
    }

    /// A tail call in place; control goes on behind it when it fails. False where the helper is to be called.
    pub(crate) fn jump(&mut self, pc: Pc, helper: &Bound) -> bool {
        let Some((map, slots)) = self.slots_of(pc, helper) else {
            return false;
        };
        let flags = MemFlagsData::new().with_notrap();
        let index = self.low(Reg::R3, types::I32);
        let index = self.b.ins().uextend(types::I64, index);
        self.flush();
        let on = self.b.create_block();
        let entries = self.constant(slots.entries as u64);
        let inside = self.b.ins().icmp(IntCC::UnsignedLessThan, index, entries);
        self.go_on_if(inside, on);
        let count = self
            .b
            .ins()
            .load(types::I32, flags, self.call, Call::TAIL_CALLS);
        let left =
            self.b
                .ins()
                .icmp_imm_u(IntCC::UnsignedLessThan, count, i64::from(MAX_TAIL_CALLS));
        self.go_on_if(left, on);
        let base = self.address_of(Symbol::Slots(map as u32), 0);
        let at = self.b.ins().ishl_imm_u(index, 3);
        let at = self.b.ins().iadd(base, at);
        // Atomic, as a host may replace it: what it holds is one of the instance's programs, or none of them.
        let program = self.b.ins().atomic_load(types::I64, flags, at);
        let programs = self.constant(self.instance.programs().len() as u64);
        let there = self
            .b
            .ins()
            .icmp(IntCC::UnsignedLessThan, program, programs);
        self.go_on_if(there, on);
        let count = self.b.ins().iadd_imm_s(count, 1);
        self.b
            .ins()
            .store(flags, count, self.call, Call::TAIL_CALLS);
        self.leave_for(program);
        self.b.switch_to_block(on);
        self.clobber();
        let failed = self.constant(Call::NO_TAIL_CALL);
        self.set(Reg::R0, failed);
        true
    }

    /// Goes on in a new block if so, otherwise in the other one.
    fn go_on_if(&mut self, holds: Value, otherwise: cranelift_codegen::ir::Block) {
        let next = self.b.create_block();
        self.b.ins().brif(holds, next, &[], otherwise, &[]);
        self.b.switch_to_block(next);
    }

    /// After a helper that may have asked for another program: goes on there and returns what it returns.
    pub(crate) fn tail_call(&mut self, r0: Value) {
        let (on, away) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(r0, on, &[], away, &[]);
        self.b.switch_to_block(away);
        let next = self.call_word(Call::NEXT);
        self.leave_for(next);
        self.b.switch_to_block(on);
    }

    /// Leaves the function for a program, by its index.
    fn leave_for(&mut self, program: Value) {
        self.forget_frame();
        let flags = MemFlagsData::new().with_notrap();
        let table = self.address_of(Symbol::Entries, 0);
        let at = self.b.ins().ishl_imm_u(program, 3);
        let at = self.b.ins().iadd(table, at);
        let entry = self.b.ins().load(types::I64, flags, at, 0);
        let ctx = self.context;
        let ctx = ctx.unwrap_or_else(|| self.call_word(Call::CTX));
        let args = [self.call, ctx];
        let mains = self.functions.first().is_some_and(|f| f.tail);
        let by = if mains {
            CallConv::Tail
        } else {
            self.convention
        };
        let signature = self.signature(by, args.len());
        if mains && self.this.tail {
            self.b.ins().return_call_indirect(signature, entry, &args);
            return;
        }
        let call = self.b.ins().call_indirect(signature, entry, &args);
        let r0 = self.b.inst_results(call)[0];
        self.b.ins().return_(&[r0]);
    }
}
