//! Calls of kernel functions, and exceptions → IR.
//!
//! A function that throws, or calls one that may, returns at once to its caller, which does the same;
//! the program's main function gives what its exception callback makes of the cookie.
//!
//! **Invariant:** no kernel function is known by its name here: its declaration and its row say what it does.

use cranelift_codegen::ir::{InstBuilder, MemFlagsData, types};
use probity_isa::{CallTarget, Insn, Pc, Reg};
use probity_runtime::{BoundKfunc, Call, Instance, KfuncArg};
use probity_verifier::VerifiedProgram;

use crate::error::Error;
use crate::flow::{Function, reached};
use crate::frame::Use;
use crate::symbol::Symbol;
use crate::translate::Translator;

/// How a call uses the caller's frame: as far up as the declaration says.
pub(crate) fn uses(kfunc: &BoundKfunc) -> Use {
    let mut extents = [Some(0); 5];
    for (extent, arg) in extents.iter_mut().zip(&kfunc.args) {
        *extent = match arg {
            KfuncArg::Memory { bytes, .. } => u32::try_from(*bytes).ok(),
            // What programs allocate lies in no frame.
            KfuncArg::Object | KfuncArg::Constant => Some(0),
            // Numbers that the declaration lets be anything may be addresses too, and what is read at any address has no known end.
            _ => None,
        };
    }
    Use::Upwards(extents)
}

/// Whether it may give a pointer to memory of unknown extent that it was handed: then what is read through
/// one may be written through the other.
pub(crate) fn aliases(kfunc: &BoundKfunc) -> bool {
    let whole = |a: &KfuncArg| {
        use KfuncArg::{Constant, Memory, Object};
        matches!(a, Memory { .. } | Object | Constant)
    };
    kfunc.pointer && !kfunc.args.iter().all(whole)
}

/// Says of each function whether an exception may leave it.
pub(crate) fn mark_throws(instance: &Instance, p: &VerifiedProgram, functions: &mut [Function]) {
    let throws = |insn: &Insn| match insn {
        Insn::Call(CallTarget::Kfunc { id, .. }) => instance.kfunc(*id).is_some_and(|k| k.throws),
        _ => false,
    };
    let live = |f: &Function| f.range.clone().filter(|pc| reached(p, *pc));
    for f in functions.iter_mut() {
        f.throws = live(f).any(|pc| throws(&p.insns()[pc]));
    }
    if !functions.iter().any(|f| f.throws) {
        return;
    }
    loop {
        let starts: Vec<i64> = functions
            .iter()
            .filter(|f| f.throws)
            .map(|f| f.range.start as i64)
            .collect();
        let calls = |pc: Pc| match p.insns()[pc] {
            insn @ Insn::Call(CallTarget::Subprog { .. }) => insn
                .subprog_target(pc)
                .is_some_and(|to| starts.contains(&to)),
            _ => false,
        };
        let mut changed = false;
        for f in functions.iter_mut().filter(|f| !f.throws) {
            f.throws = live(f).any(calls);
            changed |= f.throws;
        }
        if !changed {
            break;
        }
    }
}

impl Translator<'_, '_> {
    /// False when control does not go on behind the call.
    pub(crate) fn call_kfunc(&mut self, pc: Pc, id: u32) -> Result<bool, Error> {
        self.words.forget();
        let Some(kfunc) = self.instance.kfunc(id) else {
            return Err(self.unsupported(pc, format!("a call of kernel function {id}")));
        };
        let mut args = vec![self.call];
        for (r, _) in Reg::all().skip(1).zip(&kfunc.args) {
            args.push(self.get(r));
        }
        // The function takes five; what its declaration does not name it does not read.
        let zero = self.constant(0);
        args.resize(6, zero);
        let r0 = self.call_symbol(Symbol::Kfunc(id), &args);
        self.rename_frame();
        self.clobber();
        self.set(Reg::R0, r0);
        if kfunc.throws {
            self.throw(pc)?;
        }
        Ok(!kfunc.throws)
    }

    /// After the call of a subprogram: an exception that left it leaves this function too.
    pub(crate) fn unwind(&mut self, pc: Pc, insn: &Insn) -> Result<(), Error> {
        let to = insn.subprog_target(pc);
        let callee = self
            .functions
            .iter()
            .find(|f| Some(f.range.start as i64) == to);
        if !callee.is_some_and(|f| f.throws) {
            return Ok(());
        }
        let flags = MemFlagsData::new().with_notrap();
        let thrown = self
            .b
            .ins()
            .load(types::I32, flags, self.call, Call::THROWN);
        let (away, on) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(thrown, away, &[], on, &[]);
        self.b.switch_to_block(away);
        self.throw(pc)?;
        self.b.switch_to_block(on);
        Ok(())
    }

    /// Leaves the function with an exception under way; the main function ends it.
    fn throw(&mut self, pc: Pc) -> Result<(), Error> {
        let zero = self.constant(0);
        if self.this.range.start != self.functions.first().map_or(0, |f| f.range.start) {
            self.forget_frame();
            self.b.ins().return_(&[zero]);
            return Ok(());
        }
        let flags = MemFlagsData::new().with_notrap();
        let cookie = self.call_word(Call::COOKIE);
        let none = self.b.ins().iconst(types::I32, 0);
        self.b.ins().store(flags, none, self.call, Call::THROWN);
        self.rename_frame();
        let callback = self.instance.programs()[self.index].exception_callback();
        let Some(start) = callback else {
            self.forget_frame();
            self.b.ins().return_(&[cookie]);
            return Ok(());
        };
        let n = self.functions.iter().position(|f| f.range.start == start);
        let Some(n) = n else {
            return Err(self.unsupported(pc, "an exception callback that is no function"));
        };
        let mut args = vec![self.call];
        for r in self.functions[n].args.iter() {
            args.push(if r == Reg::R1 { cookie } else { zero });
        }
        let callback = self.function(n);
        let call = self.b.ins().call(callback, &args);
        let r0 = self.b.inst_results(call)[0];
        self.forget_frame();
        self.b.ins().return_(&[r0]);
        Ok(())
    }
}
