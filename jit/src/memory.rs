//! Loads, stores and atomics → IR, by the region that the proof names.
//!
//! **Invariant:** two accesses that may meet carry the same alias region: Cranelift takes
//! accesses of different regions (and those of none) for disjoint.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AliasRegion, AliasRegionData, AtomicRmwOp, InstBuilder, MemFlagsData, TrapCode, Type, Value,
    types,
};
use probity_isa::{AtomicOp, Pc, Reg, Size, Src};
use probity_runtime::{Call, absent, hidden_word};
use probity_verifier::{Access, Region};

use crate::alu::{narrow, of_size, widen_signed};
use crate::lowerings::Lowerings;
use crate::symbol::{Routine, Symbol};
use crate::translate::Translator;
use crate::words::Word;

/// Alias regions by number.
mod region {
    pub const STACK: u32 = 0;
    pub const CONTEXT: u32 = 1;
    pub const PACKET: u32 = 2;
    pub const MEMORY: u32 = 3;
    /// The map's index is added.
    pub const MAPS: u32 = 16;
}

/// Maps beyond this many share a region.
const MAX_MAPS: usize = 4096;

/// Which kinds of memory must share a region in a function.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Aliasing {
    /// Some access may go to any region.
    pub mixed: bool,
    /// Some access may go to a map's memory without naming the map.
    pub unnamed: bool,
}

impl Aliasing {
    pub fn note(&mut self, access: Option<Access>) {
        match access.map(|a| a.region) {
            Some(Region::Mixed) | None => self.mixed = true,
            Some(Region::Memory | Region::OuterStack) => self.unnamed = true,
            _ => {}
        }
    }

    fn region(self, region: Region) -> u32 {
        match region {
            _ if self.mixed => region::MEMORY,
            Region::Stack => region::STACK,
            Region::Context(_) => region::CONTEXT,
            // What a global function is handed may lie in the packet.
            Region::Packet if !self.unnamed => region::PACKET,
            Region::MapValue(n) if !self.unnamed && n < MAX_MAPS => region::MAPS + n as u32,
            _ => region::MEMORY,
        }
    }
}

/// A place in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub base: Value,
    pub off: i32,
    pub flags: MemFlagsData,
}

impl Translator<'_, '_> {
    fn access(&self, pc: Pc) -> Option<Access> {
        self.program().facts().get(pc).and_then(|f| f.access)
    }

    fn alias(&mut self, region: Region) -> AliasRegion {
        let user_id = self.aliasing.region(region);
        self.b.func.dfg.alias_regions.insert(AliasRegionData {
            user_id,
            description: match user_id {
                region::STACK => "stack".into(),
                region::CONTEXT => "context".into(),
                region::PACKET => "packet".into(),
                region::MEMORY => "memory".into(),
                n => format!("map {}", n - region::MAPS).into(),
            },
        })
    }

    /// Flags of an access that the proof allows: it cannot trap.
    pub(crate) fn flags(&mut self, region: Region) -> MemFlagsData {
        let alias = self.alias(region);
        MemFlagsData::new()
            .with_notrap()
            .with_alias_region(Some(alias))
    }

    fn place(&mut self, pc: Pc, base: Reg, off: i16) -> Place {
        let access = self.access(pc);
        let flags = self.flags(access.map_or(Region::Mixed, |a| a.region));
        // Nobody writes there; a load may still only stand where the proof has it.
        let flags = match self.frozen_map(access) {
            Some(_) => flags.with_readonly(),
            None => flags,
        };
        if let Some(at) = self.frame.bases.get(pc, base) {
            let at = at.saturating_add(i32::from(off));
            let flags = if self.aliasing.mixed {
                flags
            } else {
                self.flags(Region::Stack)
            };
            // One base for all, which machine addresses take in.
            let (base, off) = match self.memory {
                Some(_) => (self.top, at),
                None => (self.frame_address(at), 0),
            };
            return Place { base, off, flags };
        }
        Place {
            base: self.get(base),
            off: i32::from(off),
            flags,
        }
    }

    /// The frame slot of an access that is an SSA value.
    fn slot(&self, pc: Pc, base: Reg, off: i16) -> Option<i32> {
        let at = self.frame.bases.get(pc, base)?;
        let at = at.saturating_add(i32::from(off));
        self.slots.contains_key(&at).then_some(at)
    }

    /// A load, as its register will hold it: 32 bits stand for 64 whose upper half is 0.
    pub(crate) fn load(&mut self, pc: Pc, size: Size, signed: bool, base: Reg, off: i16) -> Value {
        if let Some(at) = self.slot(pc, base, off) {
            let v = self.read_slot(at);
            return self.extended(v, signed);
        }
        let access = self.access(pc);
        let v = match access.map(|a| a.region) {
            Some(Region::Context(kind)) if hidden_word(kind).is_some() => {
                let word = hidden_word(kind).unwrap_or_default();
                let ctx = self.constant_word(Call::CTX);
                let flags = self.flags(Region::Context(kind));
                self.b.ins().load(types::I64, flags, ctx, word)
            }
            Some(Region::Kernel) => {
                let base = self.get(base);
                let address = self.b.ins().iadd_imm_s(base, i64::from(off));
                let bytes = self.b.ins().iconst(types::I64, size.bytes() as i64);
                let args = [self.call, address, bytes];
                let v = self.call_symbol(Symbol::Routine(Routine::KernelRead), &args);
                self.extend(v, size, signed)
            }
            Some(Region::Arena) => {
                let v = self.arena_load(size, base, off, false);
                self.extended(v, signed)
            }
            // No function here gives a socket: a load that only a NULL check guards.
            Some(Region::Socket) => {
                let zero = self.b.ins().iconst(types::I8, 0);
                self.b.ins().trapz(zero, UNREACHABLE);
                self.b.ins().iconst(types::I64, 0)
            }
            _ => {
                if let Some(v) = self.frozen(access, size, signed) {
                    return v;
                }
                let at = self.place(pc, base, off);
                let v = self.load_at(at, access, size, signed);
                if !signed && size != Size::DW && self.lowerings.has(Lowerings::WORDS) {
                    self.words.note(v, Word::loaded(at, size.bytes()));
                }
                v
            }
        };
        let Some(absent) = access.as_ref().and_then(absent) else {
            return v;
        };
        let absent = self.b.ins().iconst(types::I64, absent as i64);
        let null = self.b.ins().icmp_imm_s(IntCC::Equal, v, 0);
        self.b.ins().select(null, absent, v)
    }

    fn load_at(&mut self, at: Place, access: Option<Access>, size: Size, signed: bool) -> Value {
        // What is written to the stack comes back by whole values, which is worth more there;
        // and only plain loads may be moved.
        let plain = matches!(
            access.map(|a| a.region),
            Some(Region::Stack | Region::Mixed) | None
        );
        let plain = plain || self.frozen_map(access).is_some();
        if size == Size::DW || plain || !self.lowerings.has(Lowerings::NARROW) {
            let v = self.b.ins().load(of_size(size), at.flags, at.base, at.off);
            return self.extended(v, signed);
        }
        let ins = self.b.ins();
        let v = match (size, signed) {
            (Size::B, false) => ins.uload8(types::I64, at.flags, at.base, at.off),
            (Size::H, false) => ins.uload16(types::I64, at.flags, at.base, at.off),
            (_, false) => ins.uload32(at.flags, at.base, at.off),
            (Size::B, true) => ins.sload8(types::I64, at.flags, at.base, at.off),
            (Size::H, true) => ins.sload16(types::I64, at.flags, at.base, at.off),
            (_, true) => ins.sload32(at.flags, at.base, at.off),
        };
        if !signed {
            self.narrow.insert(v);
        }
        v
    }

    /// The map of an access whose bytes nobody can change.
    fn frozen_map(&self, access: Option<Access>) -> Option<usize> {
        match access?.region {
            Region::MapValue(n) if self.lowerings.has(Lowerings::FROZEN) => {
                self.instance.map(n)?.frozen().then_some(n)
            }
            _ => None,
        }
    }

    /// The value of a load from a known place in data that nobody can change.
    fn frozen(&mut self, access: Option<Access>, size: Size, signed: bool) -> Option<Value> {
        let map = self.frozen_map(access)?;
        let at = usize::try_from(access?.offset?).ok()?;
        let object = &self.instance.verified().relocated().object;
        let data = object.maps.get(map)?.data.as_ref()?;
        let bytes = data.bytes.get(at..at.checked_add(size.bytes())?)?;
        let mut word = [0; 8];
        word.get_mut(..bytes.len())?.copy_from_slice(bytes);
        let bits = 64 - 8 * size.bytes() as u32;
        let v = u64::from_le_bytes(word) << bits;
        let v = match signed {
            true => (v as i64 >> bits) as u64,
            false => v >> bits,
        };
        Some(self.constant(v))
    }

    /// A value of its own size as a register will hold it.
    fn extended(&mut self, v: Value, signed: bool) -> Value {
        match self.b.func.dfg.value_type(v) {
            _ if signed => widen_signed(&mut self.b, v),
            types::I32 => v,
            _ => self.widen(v),
        }
    }

    /// The low `size` of a 64-bit value, extended.
    fn extend(&mut self, v: Value, size: Size, signed: bool) -> Value {
        let v = narrow(&mut self.b, v, of_size(size));
        if signed {
            widen_signed(&mut self.b, v)
        } else {
            self.widen(v)
        }
    }

    pub(crate) fn store(&mut self, pc: Pc, size: Size, base: Reg, off: i16, src: Src) {
        if self.is_in_arena(pc) {
            return self.arena_store(size, base, off, src);
        }
        let v = self.low_operand(src, of_size(size));
        if let Some(at) = self.slot(pc, base, off) {
            self.write_slot(at, v);
            return;
        }
        self.words.forget();
        let at = self.place(pc, base, off);
        self.b.ins().store(at.flags, v, at.base, at.off);
    }

    /// Base and offset as one address: atomic instructions take no offset.
    fn address(&mut self, at: Place) -> Value {
        if at.off == 0 {
            at.base
        } else {
            self.b.ins().iadd_imm_s(at.base, i64::from(at.off))
        }
    }

    pub(crate) fn load_acquire(&mut self, pc: Pc, size: Size, base: Reg, off: i16) -> Value {
        if self.is_in_arena(pc) {
            let v = self.arena_load(size, base, off, true);
            return self.widen(v);
        }
        self.words.forget();
        let at = self.place(pc, base, off);
        let address = self.address(at);
        let v = self.b.ins().atomic_load(of_size(size), at.flags, address);
        self.widen(v)
    }

    pub(crate) fn store_release(&mut self, pc: Pc, size: Size, base: Reg, off: i16, src: Reg) {
        if self.is_in_arena(pc) {
            return self.arena_store_release(size, base, off, src);
        }
        self.words.forget();
        let at = self.place(pc, base, off);
        let address = self.address(at);
        let v = self.low(src, of_size(size));
        self.b.ins().atomic_store(at.flags, v, address);
    }

    pub(crate) fn atomic(
        &mut self,
        pc: Pc,
        op: AtomicOp,
        size: Size,
        base: Reg,
        off: i16,
        src: Reg,
    ) {
        if self.is_in_arena(pc) {
            return self.arena_atomic(op, size, base, off, src);
        }
        self.words.forget();
        let at = self.place(pc, base, off);
        let address = self.address(at);
        let ty = of_size(size);
        let operands = self.atomic_operands(op, src, ty);
        let old = self.atomic_at(op, ty, at.flags, address, operands);
        let to = match op {
            AtomicOp::Cmpxchg => Reg::R0,
            _ if op.fetches() => src,
            _ => return,
        };
        let old = self.widen(old);
        self.set(to, old);
    }

    /// What an atomic operation brings, and what it expects.
    pub(crate) fn atomic_operands(&mut self, op: AtomicOp, src: Reg, ty: Type) -> (Value, Value) {
        let v = self.low(src, ty);
        match op {
            AtomicOp::Cmpxchg => (v, self.low(Reg::R0, ty)),
            _ => (v, v),
        }
    }

    /// A read-modify-write at an address; gives the old value.
    pub(crate) fn atomic_at(
        &mut self,
        op: AtomicOp,
        ty: Type,
        flags: MemFlagsData,
        address: Value,
        (v, expected): (Value, Value),
    ) -> Value {
        let rmw = match op {
            AtomicOp::Add { .. } => AtomicRmwOp::Add,
            AtomicOp::Or { .. } => AtomicRmwOp::Or,
            AtomicOp::And { .. } => AtomicRmwOp::And,
            AtomicOp::Xor { .. } => AtomicRmwOp::Xor,
            AtomicOp::Xchg => AtomicRmwOp::Xchg,
            AtomicOp::Cmpxchg => return self.b.ins().atomic_cas(flags, address, expected, v),
        };
        self.b.ins().atomic_rmw(ty, flags, rmw, address, v)
    }
}

/// Raised where no verified path leads.
pub(crate) const UNREACHABLE: TrapCode = TrapCode::unwrap_user(1);
