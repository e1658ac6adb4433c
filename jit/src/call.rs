//! Calls of helpers and subprograms, tail calls, packet loads → IR.
//!
//! **Invariant:** helpers are bound at compile time; none is known by its name here: what is
//! compiled in place is recognised by its row.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{AbiParam, Block, InstBuilder, Signature, Value, types};
use probity_isa::{CallTarget, Insn, JmpOp, Pc, Reg, Size};
use probity_platform::{ArgKind, Ret};
use probity_runtime::{ArrayLayout, Bound, Call, Instance, Map};
use probity_verifier::VerifiedProgram;

use crate::alu::widen;
use crate::error::Error;
use crate::flow::{Function, first_args, live};
use crate::frame::{self, Frame, Use};
use crate::kfunc;
use crate::lowerings::Lowerings;
use crate::symbol::{Routine, Symbol};
use crate::translate::Translator;

const ARGS: [Reg; 5] = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];

/// A helper that gives the address of a map's element for its key.
pub(crate) fn is_lookup(helper: &Bound) -> bool {
    matches!(helper.args, [m, k] if matches!(m.kind, ArgKind::Map) && matches!(k.kind, ArgKind::MapKey))
        && matches!(helper.ret, Ret::MapValueOrNull)
}

/// How a helper call uses the caller's frame.
pub(crate) fn uses(helper: &Bound, map: Option<&Map>, inlined: bool) -> Use {
    if inlined {
        return Use::Reads(Reg::R2, Size::W);
    }
    let anywhere =
        |k: &ArgKind| matches!(k, ArgKind::Func(_) | ArgKind::CallbackCtx | ArgKind::Timer);
    if helper.args.iter().any(|a| anywhere(&a.kind)) {
        return Use::Anywhere;
    }
    let mut extents = [Some(0); 5];
    for (extent, arg) in extents.iter_mut().zip(helper.args) {
        *extent = match arg.kind {
            ArgKind::MapKey => map.map(|m| m.key_size() as u32),
            ArgKind::MapValue { .. } => map.map(|m| m.value_size() as u32),
            ArgKind::FixedMem { bytes, .. } => Some(bytes),
            _ => None,
        };
    }
    Use::Upwards(extents)
}

/// How the call at an instruction uses the caller's frame.
pub(crate) fn use_of(
    instance: &Instance,
    p: &VerifiedProgram,
    lowerings: Lowerings,
    pc: Pc,
) -> Use {
    let id = match p.insns().get(pc) {
        Some(Insn::Call(CallTarget::Helper(id))) => id,
        Some(Insn::Call(CallTarget::Kfunc { id, .. })) => {
            let kfunc = instance.kfunc(*id);
            return kfunc.map_or(Use::Anywhere, |k| kfunc::uses(&k));
        }
        _ => return Use::Anywhere,
    };
    let map = p.facts().get(pc).and_then(|f| f.map);
    match instance.helper(*id, p.prog_type()) {
        Some(h) => {
            let inlined = lowerings.has(Lowerings::ARRAYS) && array_of(instance, map, &h).is_some();
            let map = map.and_then(|n| instance.map(n)).map(|m| &**m);
            uses(&h, map, inlined)
        }
        None => Use::Anywhere,
    }
}

/// The frame of a function.
pub(crate) fn frame(
    instance: &Instance,
    p: &VerifiedProgram,
    function: &Function,
    lowerings: Lowerings,
) -> Frame {
    let uses = |pc| use_of(instance, p, lowerings, pc);
    let reads = |_: Pc, insn: &Insn| match insn {
        Insn::Call(CallTarget::Helper(id)) => {
            let helper = instance.helper(*id, p.prog_type());
            first_args(helper.map_or(5, |h| h.args.len()))
        }
        _ => insn.uses(),
    };
    let live = || match lowerings.has(Lowerings::DEAD) {
        true => live(p, &function.range, &reads),
        false => Vec::new(),
    };
    frame::analyse(p, &function.range, &uses, &live, lowerings)
}

impl Translator<'_, '_> {
    /// Calls something with 64-bit arguments.
    pub(crate) fn call_symbol(&mut self, symbol: Symbol, args: &[Value]) -> Value {
        let callee = self.callee(symbol, args.len());
        let call = self.b.ins().call(callee, args);
        self.b.inst_results(call)[0]
    }

    /// After a call r1 to r5 hold nothing.
    pub(crate) fn clobber(&mut self) {
        let zero = self.constant(0);
        for r in ARGS {
            self.set(r, zero);
        }
    }

    pub(crate) fn call_subprogram(&mut self, pc: Pc, insn: &Insn) -> Result<(), Error> {
        self.words.forget();
        let to = insn.subprog_target(pc);
        let n = self
            .functions
            .iter()
            .position(|f| Some(f.range.start as i64) == to);
        let Some(n) = n else {
            return Err(self.unsupported(pc, "a call of no function"));
        };
        if let Some(r0) = self.inline(pc, n)? {
            self.clobber();
            self.set(Reg::R0, r0);
            return Ok(());
        }
        let callee = self.function(n);
        let mut args = vec![self.call];
        for r in self.functions[n].args.iter() {
            args.push(self.get(r));
        }
        let call = self.b.ins().call(callee, &args);
        let r0 = self.b.inst_results(call)[0];
        self.rename_frame();
        if self.watched.is_some() {
            self.leave_if_ended();
        }
        self.clobber();
        self.set(Reg::R0, r0);
        Ok(())
    }

    pub(crate) fn call_helper(&mut self, pc: Pc, id: u32) -> Result<(), Error> {
        self.words.forget();
        let Some(helper) = self.instance.helper(id, self.program().prog_type()) else {
            return Err(self.unsupported(pc, format!("a call of helper {id}")));
        };
        if helper.effects.may_not_return && self.jump(pc, &helper) {
            return Ok(());
        }
        let r0 = match self.array_of(pc, &helper) {
            Some((map, array)) => self.lookup(pc, map, array),
            None if let Some(r0) = self.in_place(pc, &helper) => r0,
            None => {
                let mut args = vec![self.call];
                for (r, _) in ARGS.iter().zip(helper.args) {
                    args.push(self.get(*r));
                }
                // The function takes five in registers; what its row does not name it does not read.
                // Code for this very map, where the runtime has some.
                let map = self.program().facts().get(pc).and_then(|f| f.map);
                match map.and_then(|m| Some((m, self.direct(&helper, m)?))) {
                    Some((map, code)) => {
                        args[1] = self.address_of(Symbol::Store(map as u32), 0);
                        self.call_symbol(code, &args)
                    }
                    None => self.call_symbol(Symbol::Helper(id), &args),
                }
            }
        };
        if helper
            .args
            .iter()
            .any(|a| matches!(a.kind, ArgKind::Func(_)))
        {
            self.rename_frame();
        }
        if self.watched.is_some() {
            self.watch_helper(&helper, r0);
        }
        self.clobber();
        self.set(Reg::R0, r0);
        if helper.effects.may_not_return {
            self.tail_call(r0);
        }
        Ok(())
    }

    /// The runtime's code of its own for a helper's call about a map, which takes the map's [`Symbol::Store`].
    fn direct(&self, helper: &Bound, map: usize) -> Option<Symbol> {
        let takes_map = matches!(helper.args, [m, ..] if matches!(m.kind, ArgKind::Map));
        self.instance.direct(helper.id, map).filter(|_| takes_map)?;
        Some(Symbol::Direct {
            helper: u8::try_from(helper.id).ok()?,
            map: u32::try_from(map).ok()?,
        })
    }

    /// The array that a lookup is in, when that is known and the lookup can be compiled in place.
    fn array_of(&self, pc: Pc, helper: &Bound) -> Option<(usize, ArrayLayout)> {
        if !self.lowerings.has(Lowerings::ARRAYS) {
            return None;
        }
        let map = self.program().facts().get(pc)?.map;
        Some((map?, array_of(self.instance, map, helper)?))
    }

    /// Element address by index, or 0.
    fn lookup(&mut self, pc: Pc, map: usize, array: ArrayLayout) -> Value {
        let slot = self.frame.bases.get(pc, Reg::R2);
        let key = match slot.filter(|at| self.slots.contains_key(at)) {
            Some(at) => {
                let key = self.read_slot(at);
                widen(&mut self.b, key)
            }
            None => {
                let key = self.get(Reg::R2);
                // The key may lie in any region: no other access may be reordered with this one.
                let flags = match slot {
                    Some(_) if !self.aliasing.mixed => self.flags(probity_verifier::Region::Stack),
                    _ => self.flags(probity_verifier::Region::Mixed),
                };
                let v = self.b.ins().load(types::I32, flags, key, 0);
                self.b.ins().uextend(types::I64, v)
            }
        };
        let entries = self.constant(array.entries as u64);
        let inside = self.b.ins().icmp(IntCC::UnsignedLessThan, key, entries);
        let mut base = self.address_of(Symbol::Values(map as u32), 0);
        if array.cpu_stride != 0 {
            let cpu = self.constant_word(Call::CPU);
            let stride = self.constant(array.cpu_stride as u64);
            let at = self.b.ins().imul(cpu, stride);
            base = self.b.ins().iadd(base, at);
        }
        let stride = self.constant(array.stride as u64);
        let at = self.b.ins().imul(key, stride);
        let address = self.b.ins().iadd(base, at);
        let null = self.constant(0);
        let found = self.b.ins().select(inside, address, null);
        self.lookups.insert(found, (inside, address));
        found
    }

    /// The test of a lookup's result for NULL: the index decides, and each side knows what the result is.
    /// False where it is no such test.
    pub(crate) fn null_test(&mut self, op: JmpOp, x: Value, to: Block, next: Block) -> bool {
        let Some((inside, address)) = self.lookups.get(&x).copied() else {
            return false;
        };
        let (null, found) = match op {
            JmpOp::Eq => (to, next),
            JmpOp::Ne => (next, to),
            _ => return false,
        };
        if !self.lowerings.has(Lowerings::NULLS) {
            return false;
        }
        let holders: Vec<Reg> = Reg::all().filter(|r| self.local.holds(*r, x)).collect();
        let (some, none) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(inside, some, &[], none, &[]);
        for (block, target) in [(some, found), (none, null)] {
            self.b.switch_to_block(block);
            let v = match block == some {
                true => address,
                false => self.constant(0),
            };
            for r in &holders {
                self.set(*r, v);
            }
            self.b.ins().jump(target, &[]);
        }
        true
    }

    /// `ld_abs` and `ld_ind`: outside of the packet the function exits with 0.
    pub(crate) fn load_packet(&mut self, size: Size, index: Option<Reg>, imm: i32) {
        self.words.forget();
        let mut offset = self.b.ins().iconst(types::I64, i64::from(imm));
        if let Some(r) = index {
            let index = self.get(r);
            offset = self.b.ins().iadd(offset, index);
        }
        let bytes = self.constant(size.bytes() as u64);
        let r0 = self.call_symbol(
            Symbol::Routine(Routine::PacketLoad),
            &[self.call, offset, bytes],
        );
        let failed = self.b.ins().icmp_imm_s(IntCC::Equal, r0, -1);
        let (out, on) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(failed, out, &[], on, &[]);
        self.b.switch_to_block(out);
        let zero = self.constant(0);
        self.forget_frame();
        self.b.ins().return_(&[zero]);
        self.b.switch_to_block(on);
        self.clobber();
        self.set(Reg::R0, r0);
    }
}

/// The array that a helper looks up in, when it is one.
pub(crate) fn array_of(
    instance: &probity_runtime::Instance,
    map: Option<usize>,
    helper: &Bound,
) -> Option<ArrayLayout> {
    if !is_lookup(helper) {
        return None;
    }
    let map = instance.map(map?)?;
    map.array().filter(|_| map.key_size() == 4)
}

/// So many 64-bit arguments and a 64-bit result.
pub(crate) fn signature(call_conv: cranelift_codegen::isa::CallConv, args: usize) -> Signature {
    let mut s = Signature::new(call_conv);
    s.params = vec![AbiParam::new(types::I64); args];
    s.returns = vec![AbiParam::new(types::I64)];
    s
}
