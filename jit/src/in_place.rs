//! Helpers that are small enough → what they do, where they are called.
//!
//! Those that give what does not change during a call are called once: the call keeps the answer
//! ([`probity_runtime::Answer`]). A comparison with a constant string is one of words with constants.
//!
//! A record of a ring buffer is finished by a change of its header.
//!
//! A clock is not read here: it is the system's own code in this process that knows how, and no more than the call
//! of the helper lies before it.
//!
//! **Invariant:** no helper is known by its name: [`Bound::answer`] and [`Bound::inline`] say what is done.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    ExternalName, GlobalValueData, InstBuilder, InstructionData, MemFlagsData, Opcode, Type, Value,
    ValueDef, types,
};
use probity_isa::{Pc, Reg};
use probity_runtime::helpers::Inline;
use probity_runtime::{Answer, Bound, Call, Instance};
use probity_verifier::Region;

use crate::frame::Frame;
use crate::lowerings::Lowerings;
use crate::symbol::Symbol;
use crate::target::Arch;
use crate::translate::Translator;

/// Bytes that are compared or copied in place, at most.
const MAX_COMPARED: usize = 64;
/// Additions that an address is followed through to what it is in.
const MAX_ADDED: usize = 8;

/// Whether a call of a helper that is done in place may read memory of any kind.
pub(crate) fn reads_anywhere(helper: &Bound, lowerings: Lowerings, frame: &Frame, pc: Pc) -> bool {
    lowerings.has(Lowerings::HELPERS)
        && helper.inline.is_some_and(Inline::reads)
        && frame.bases.get(pc, Reg::R1).is_none()
}

impl Translator<'_, '_> {
    /// r0 of a helper that need not be called; `None` where it is to be.
    pub(crate) fn in_place(&mut self, pc: Pc, helper: &Bound) -> Option<Value> {
        if !self.lowerings.has(Lowerings::HELPERS) {
            return None;
        }
        if let Some(answer) = helper.answer {
            return Some(self.answer(helper, answer));
        }
        match helper.inline? {
            Inline::Compare => self.compare(pc),
            Inline::Read => self.read(pc, helper),
            Inline::Finish { before, keep, set } => self.finish(before, keep, set),
        }
    }

    /// Changes a word of ours before memory that the program was handed. What it wrote there is written before.
    fn finish(&mut self, before: u32, keep: u32, set: u32) -> Option<Value> {
        let at = self.get(Reg::R1);
        // No access of the program is to the word.
        let flags = MemFlagsData::new().with_notrap();
        let off = i32::try_from(before).ok()?.checked_neg()?;
        let head = self.b.ins().load(types::I32, flags, at, off);
        let keep = self.b.ins().iconst(types::I32, i64::from(keep));
        let mut head = self.b.ins().band(head, keep);
        if set != 0 {
            let set = self.b.ins().iconst(types::I32, i64::from(set));
            head = self.b.ins().bor(head, set);
        }
        match self.arch {
            // Stores are seen in their order there, and the code generator keeps it; its own atomic store would wait for all of them.
            Arch::X86_64 => {
                self.b.ins().store(flags, head, at, off);
            }
            Arch::Aarch64 => {
                let address = self.b.ins().iadd_imm_s(at, i64::from(off));
                self.b.ins().atomic_store(flags, head, address);
            }
        }
        Some(self.constant(0))
    }

    /// What the call keeps, or else what the helper gives, which keeps it.
    fn answer(&mut self, helper: &Bound, answer: Answer) -> Value {
        let flags = MemFlagsData::new().with_notrap();
        let answered = self
            .b
            .ins()
            .load(types::I32, flags, self.call, Call::ANSWERED);
        let bit = self.b.ins().iconst(types::I32, i64::from(answer.bit()));
        let kept = self.b.ins().band(answered, bit);
        let (have, ask, on) = (
            self.b.create_block(),
            self.b.create_block(),
            self.b.create_block(),
        );
        self.b.set_cold_block(ask);
        let r0 = self.b.append_block_param(on, types::I64);
        self.b.ins().brif(kept, have, &[], ask, &[]);
        self.b.switch_to_block(have);
        self.b.seal_block(have);
        let v = self.call_word(answer.offset());
        self.b.ins().jump(on, &[v.into()]);
        self.b.switch_to_block(ask);
        self.b.seal_block(ask);
        let zero = self.constant(0);
        let mut args = [zero; 6];
        args[0] = self.call;
        if !helper.args.is_empty() {
            args[1] = self.constant_word(Call::CTX);
        }
        let v = self.call_symbol(Symbol::Helper(helper.id), &args);
        self.b.ins().jump(on, &[v.into()]);
        self.b.switch_to_block(on);
        self.b.seal_block(on);
        r0
    }

    /// Copies from an address that was made of a map's, when it still lies in the map's value.
    fn read(&mut self, pc: Pc, helper: &Bound) -> Option<Value> {
        let frame = self.frame.bases.get(pc, Reg::R1).is_some();
        // In place of a subprogram's call, the caller's memory may be meant.
        if self.back.is_some() && !frame {
            return None;
        }
        let size = self.low(Reg::R2, types::I32);
        let size = self.known(size)? as u32 as usize;
        let from = self.get(Reg::R3);
        let map = self.map_of(from)?;
        let array = self.instance.map(map)?.array()?;
        let len = self.instance.map(map)?.value_size();
        // Other values of the map are other memory.
        if array.entries != 1 || array.cpu_stride != 0 || size == 0 || size > len.min(MAX_COMPARED)
        {
            return None;
        }
        let to = self.get(Reg::R1);
        let mut args = [self.call; 6];
        let zero = self.constant(0);
        for (n, arg) in args.iter_mut().enumerate().skip(1) {
            *arg = match Reg::all().nth(n) {
                Some(r) if n <= helper.args.len() => self.get(r),
                _ => zero,
            };
        }
        let base = self.address_of(Symbol::Values(map as u32), 0);
        let at = self.b.ins().isub(from, base);
        let last = self.constant((len - size) as u64);
        let inside = self.b.ins().icmp(IntCC::UnsignedLessThanOrEqual, at, last);
        let (copy, ask, on) = (
            self.b.create_block(),
            self.b.create_block(),
            self.b.create_block(),
        );
        self.b.set_cold_block(ask);
        let r0 = self.b.append_block_param(on, types::I64);
        self.b.ins().brif(inside, copy, &[], ask, &[]);
        self.b.switch_to_block(copy);
        self.b.seal_block(copy);
        let load = self.flags(Region::MapValue(map));
        let store = match frame && !self.aliasing.mixed {
            true => self.flags(Region::Stack),
            false => self.flags(Region::Mixed),
        };
        // All is read before any is written: they may overlap.
        let pieces = pieces(size);
        let values: Vec<Value> = pieces
            .iter()
            .filter_map(|(at, ty)| {
                Some(self.b.ins().load(*ty, load, from, i32::try_from(*at).ok()?))
            })
            .collect();
        for ((at, _), v) in pieces.iter().zip(values) {
            self.b.ins().store(store, v, to, *at as i32);
        }
        self.b.ins().jump(on, &[zero.into()]);
        self.b.switch_to_block(ask);
        self.b.seal_block(ask);
        let v = self.call_symbol(Symbol::Helper(helper.id), &args);
        self.b.ins().jump(on, &[v.into()]);
        self.b.switch_to_block(on);
        self.b.seal_block(on);
        Some(r0)
    }

    /// The map whose address an address was made of by additions.
    fn map_of(&self, mut v: Value) -> Option<usize> {
        let dfg = &self.b.func.dfg;
        for _ in 0..MAX_ADDED {
            if let Some((Symbol::Values(map), _)) = self.symbol_of(v) {
                return Some(map as usize);
            }
            let ValueDef::Result(inst, _) = dfg.value_def(dfg.resolve_aliases(v)) else {
                return None;
            };
            let InstructionData::Binary {
                opcode: Opcode::Iadd,
                args: [a, b],
            } = dfg.insts[inst]
            else {
                return None;
            };
            // Programs add numbers to addresses, or addresses to numbers.
            v = match self.symbol_of(b) {
                Some(_) => b,
                None => a,
            };
        }
        None
    }

    /// Compares memory with a constant string, so many bytes at a time.
    fn compare(&mut self, pc: Pc) -> Option<Value> {
        let frame = self.frame.bases.get(pc, Reg::R1).is_some();
        // In place of a subprogram's call, the caller's memory may be meant.
        if self.back.is_some() && !frame {
            return None;
        }
        let size = self.low(Reg::R2, types::I32);
        let size = self.known(size)? as u32 as usize;
        let string = self.get(Reg::R3);
        let string = self.constant_string(string)?.to_vec();
        // Both with the NUL: another one in the memory differs from what stands there.
        let len = size.min(string.len());
        if len == 0 || len > MAX_COMPARED {
            return None;
        }
        let base = self.get(Reg::R1);
        let region = match frame && !self.aliasing.mixed {
            true => Region::Stack,
            false => Region::Mixed,
        };
        let flags = self.flags(region);
        let (differs, on) = (self.b.create_block(), self.b.create_block());
        let r0 = self.b.append_block_param(on, types::I64);
        let theirs = self.b.append_block_param(differs, types::I64);
        let ours = self.b.append_block_param(differs, types::I64);
        for (at, ty) in pieces(len) {
            let mut word = [0; 8];
            let step = ty.bytes() as usize;
            word.get_mut(..step)?
                .copy_from_slice(string.get(at..at + step)?);
            let constant = self.constant(u64::from_le_bytes(word));
            let v = self.b.ins().load(ty, flags, base, at as i32);
            let v = self.widen(v);
            let same = self.b.ins().icmp(IntCC::Equal, v, constant);
            let next = self.b.create_block();
            self.b
                .ins()
                .brif(same, next, &[], differs, &[v.into(), constant.into()]);
            self.b.switch_to_block(next);
            self.b.seal_block(next);
        }
        let equal = self.constant(0);
        self.b.ins().jump(on, &[equal.into()]);
        self.b.switch_to_block(differs);
        self.b.seal_block(differs);
        // The first byte counts most.
        let (theirs, ours) = (self.b.ins().bswap(theirs), self.b.ins().bswap(ours));
        let less = self.b.ins().icmp(IntCC::UnsignedLessThan, theirs, ours);
        let (below, above) = (self.constant(u64::MAX), self.constant(1));
        let v = self.b.ins().select(less, below, above);
        self.b.ins().jump(on, &[v.into()]);
        self.b.switch_to_block(on);
        self.b.seal_block(on);
        Some(r0)
    }

    /// The number that a value is, when that is known here.
    fn known(&self, v: Value) -> Option<u64> {
        let dfg = &self.b.func.dfg;
        let v = dfg.resolve_aliases(v);
        let ValueDef::Result(inst, _) = dfg.value_def(v) else {
            return None;
        };
        let bits = u64::MAX >> 64u32.saturating_sub(dfg.value_type(v).bits());
        match dfg.insts[inst] {
            InstructionData::UnaryImm {
                opcode: Opcode::Iconst,
                imm,
            } => Some(imm.bits() as u64 & bits),
            InstructionData::Unary {
                opcode: Opcode::Uextend | Opcode::Ireduce,
                arg,
            } => Some(self.known(arg)? & bits),
            _ => None,
        }
    }

    /// What a value is the address of, and an offset.
    fn symbol_of(&self, v: Value) -> Option<(Symbol, i64)> {
        let dfg = &self.b.func.dfg;
        let ValueDef::Result(inst, _) = dfg.value_def(dfg.resolve_aliases(v)) else {
            return None;
        };
        let InstructionData::UnaryGlobalValue { global_value, .. } = dfg.insts[inst] else {
            return None;
        };
        let GlobalValueData::Symbol {
            name: ExternalName::User(name),
            offset,
            ..
        } = &self.b.func.global_values[global_value]
        else {
            return None;
        };
        let name = &self.b.func.params.user_named_funcs()[*name];
        let symbol = Symbol::of_numbers(name.namespace, name.index)?;
        Some((symbol, offset.bits()))
    }

    /// The string that a value is the address of, with its NUL, in memory that nobody can change.
    fn constant_string(&self, v: Value) -> Option<&[u8]> {
        match self.symbol_of(v)? {
            (Symbol::Values(map), at) => {
                frozen_string(self.instance, map as usize, usize::try_from(at).ok()?)
            }
            _ => None,
        }
    }
}

/// Pieces of so many bytes, each with a place and a type; the last may overlap the one before it.
fn pieces(size: usize) -> Vec<(usize, Type)> {
    let step = 1usize << size.clamp(1, 8).ilog2();
    let ty = Type::int(8 * step as u16).unwrap_or(types::I8);
    let last = size.saturating_sub(step);
    (0..last)
        .step_by(step)
        .chain([last])
        .map(|at| (at, ty))
        .collect()
}

/// The string at an offset into a map that nobody can change.
fn frozen_string(instance: &Instance, map: usize, at: usize) -> Option<&[u8]> {
    if !instance.map(map)?.frozen() {
        return None;
    }
    let object = &instance.verified().relocated().object;
    let bytes = object.maps.get(map)?.data.as_ref()?.bytes.get(at..)?;
    let end = bytes.iter().position(|b| *b == 0)?;
    bytes.get(..=end)
}
