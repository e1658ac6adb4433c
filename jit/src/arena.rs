//! Accesses to an arena, and casts between its addresses and the host's → IR.
//!
//! Where Linux catches a page fault, a byte of the arena's table says beforehand whether the page is there: otherwise a load
//! gives 0, and a store is lost.
//!
//! **Invariant:** an access goes to the sum of the arena's origin, the low half of a register and the instruction's
//! offset, and only after the bytes of all of its pages were seen set.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use probity_isa::{AtomicOp, Pc, Reg, Size, Src};
use probity_runtime::BpfArena;
use probity_verifier::Region;

use crate::alu::of_size;
use crate::error::Error;
use crate::memory::UNREACHABLE;
use crate::symbol::{Routine, Symbol};
use crate::target::Arch;
use crate::translate::Translator;

/// Where an access goes, once its pages are known to be there.
struct There {
    flags: MemFlagsData,
    /// The address, less the offset.
    base: Value,
    off: i32,
}

impl Translator<'_, '_> {
    /// The map that is the program's arena.
    fn arena(&self) -> Option<(u32, &BpfArena)> {
        let map = self.instance.programs().get(self.index)?.arena()?;
        Some((u32::try_from(map).ok()?, self.instance.map(map)?.arena()?))
    }

    /// Whether the access at `pc` is one to the arena.
    pub(crate) fn is_in_arena(&self, pc: Pc) -> bool {
        let access = self.program().facts().get(pc).and_then(|f| f.access);
        access.is_some_and(|a| a.region == Region::Arena)
    }

    /// A cast to the program's address space or, for 0, to the kernel's.
    pub(crate) fn cast(&mut self, pc: Pc, dst: Reg, src: Reg, to: u16) -> Result<(), Error> {
        let Some((map, arena)) = self.arena() else {
            return Err(self.unsupported(pc, "a cast without an arena"));
        };
        let whole = to != 0 && arena.upper_half() != 0;
        let low = self.low(src, types::I32);
        if !whole {
            self.put(dst, low);
            return Ok(());
        }
        let wide = self.widen(low);
        let origin = self.address_of(Symbol::Arena(map), 0);
        let address = self.b.ins().bor(origin, wide);
        let null = self.constant(0);
        let v = self.b.ins().select(low, address, null);
        self.set(dst, v);
        Ok(())
    }

    /// What `make` gives where the pages of an access are there, and `otherwise` where they are not.
    /// `aligned`: where the place is not a multiple of the size, it counts as if they were not.
    ///
    /// `make` is translated in a block of its own: it must not ask for registers.
    fn where_there(
        &mut self,
        (base, off): (Reg, i16),
        size: Size,
        aligned: bool,
        otherwise: Option<Value>,
        make: impl FnOnce(&mut Self, There) -> Option<Value>,
    ) -> Option<Value> {
        self.words.forget();
        let Some((map, _)) = self.arena() else {
            // The proof has an arena wherever it has an access to one.
            let zero = self.b.ins().iconst(types::I8, 0);
            self.b.ins().trapz(zero, UNREACHABLE);
            return otherwise;
        };
        let low = self.low(base, types::I32);
        let low = self.widen(low);
        let at = self
            .b
            .ins()
            .iadd_imm_s(low, i64::from(off) + BpfArena::BELOW);
        let origin = self.address_of(Symbol::Arena(map), 0);
        let page = self.b.ins().ushr_imm_u(at, i64::from(BpfArena::PAGE_BITS));
        let byte = self.b.ins().iadd(origin, page);
        // Whoever frees pages while they are used reads or writes what is nobody's; so this may be looked at early.
        let flags = MemFlagsData::new().with_notrap();
        let there = self
            .b
            .ins()
            .load(types::I8, flags, byte, BpfArena::table() as i32);
        let bytes = size.bytes() as i64;
        let (there_block, on) = (self.b.create_block(), self.b.create_block());
        let result = otherwise.map(|v| {
            let ty = self.b.func.dfg.value_type(v);
            self.b.append_block_param(on, ty)
        });
        let nothing: Vec<_> = otherwise.map(Into::into).into_iter().collect();
        if bytes == 1 {
            self.b.ins().brif(there, there_block, &[], on, &nothing);
        } else if aligned {
            let odd = self.b.ins().band_imm_u(at, bytes - 1);
            let even = self.b.ins().icmp_imm_u(IntCC::Equal, odd, 0);
            let zero = self.b.ins().iconst(types::I8, 0);
            let fine = self.b.ins().select(even, there, zero);
            self.b.ins().brif(fine, there_block, &[], on, &nothing);
        } else {
            // Across the end of a page both are asked for elsewhere.
            let (first, across) = (self.b.create_block(), self.b.create_block());
            self.b.set_cold_block(across);
            self.b.ins().brif(there, first, &[], on, &nothing);
            self.b.switch_to_block(first);
            self.b.seal_block(first);
            let page = 1 << BpfArena::PAGE_BITS;
            let within = self.b.ins().band_imm_u(at, page - 1);
            let one = self
                .b
                .ins()
                .icmp_imm_u(IntCC::UnsignedLessThanOrEqual, within, page - bytes);
            self.b.ins().brif(one, there_block, &[], across, &[]);
            self.b.switch_to_block(across);
            self.b.seal_block(across);
            let arena = self.address_of(Symbol::Store(map), 0);
            let bytes = self.b.ins().iconst(types::I64, bytes);
            let has = self.call_symbol(Symbol::Routine(Routine::ArenaHas), &[arena, at, bytes]);
            self.b.ins().brif(has, there_block, &[], on, &nothing);
        }
        self.b.switch_to_block(there_block);
        self.b.seal_block(there_block);
        let base = self.b.ins().iadd(origin, at);
        let place = There {
            flags: self.flags(Region::Arena),
            base,
            off: -(BpfArena::BELOW as i32),
        };
        let made = make(self, place);
        let made: Vec<_> = made.map(Into::into).into_iter().collect();
        self.b.ins().jump(on, &made);
        self.b.switch_to_block(on);
        self.b.seal_block(on);
        result
    }

    /// A load, of its own size.
    pub(crate) fn arena_load(&mut self, size: Size, base: Reg, off: i16, acquire: bool) -> Value {
        let ty = of_size(size);
        let zero = self.b.ins().iconst(ty, 0);
        // Programs wait for each other by what they read here, so that a load must not be done once for all laps.
        let own = acquire || self.arch == Arch::X86_64;
        let v = self.where_there((base, off), size, acquire, Some(zero), |t, at| {
            if !own {
                return Some(t.b.ins().load(ty, at.flags, at.base, at.off));
            }
            let address = t.b.ins().iadd_imm_s(at.base, i64::from(at.off));
            Some(t.b.ins().atomic_load(ty, at.flags, address))
        });
        v.unwrap_or(zero)
    }

    pub(crate) fn arena_store(&mut self, size: Size, base: Reg, off: i16, src: Src) {
        let v = self.low_operand(src, of_size(size));
        self.where_there((base, off), size, false, None, |t, at| {
            t.b.ins().store(at.flags, v, at.base, at.off);
            None
        });
    }

    pub(crate) fn arena_store_release(&mut self, size: Size, base: Reg, off: i16, src: Reg) {
        let v = self.low(src, of_size(size));
        self.where_there((base, off), size, true, None, |t, at| {
            let address = t.b.ins().iadd_imm_s(at.base, i64::from(at.off));
            t.b.ins().atomic_store(at.flags, v, address);
            None
        });
    }

    /// A read-modify-write; where nothing is done, what is fetched is 0.
    pub(crate) fn arena_atomic(&mut self, op: AtomicOp, size: Size, base: Reg, off: i16, src: Reg) {
        let ty = of_size(size);
        let operands = self.atomic_operands(op, src, ty);
        let fetched = match op {
            AtomicOp::Cmpxchg => Some(Reg::R0),
            _ => op.fetches().then_some(src),
        };
        let zero = fetched.map(|_| self.b.ins().iconst(ty, 0));
        let old = self.where_there((base, off), size, true, zero, |t, at| {
            let address = t.b.ins().iadd_imm_s(at.base, i64::from(at.off));
            let old = t.atomic_at(op, ty, at.flags, address, operands);
            fetched.map(|_| old)
        });
        if let (Some(r), Some(old)) = (fetched, old) {
            let old = self.widen(old);
            self.set(r, old);
        }
    }
}
