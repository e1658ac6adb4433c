//! Aggregations: what a map collects, in cells of the processor that runs, and what they come to.

use probity_isa::{AluOp, JmpOp, Size};

use super::maps::{Form, form};
use super::{Gen, Generated, MAP_LOOKUP_ELEM, R0, R1, R2, R3, R4, R5, globals};
use crate::hir::Expr;
use crate::source::Span;
use crate::types::Agg;

/// `bpf_map_update_elem`, `bpf_map_lookup_percpu_elem`.
const MAP_UPDATE_ELEM: u32 = 2;
pub(super) const MAP_LOOKUP_PERCPU_ELEM: u32 = 195;
const BPF_NOEXIST: i32 = 1;
/// Processors whose cells are read one by one.
pub(super) const MAX_CPUS: u32 = 512;

impl<'a> Gen<'a> {
    pub(super) fn collect(
        &mut self,
        map: usize,
        key: &'a [Expr],
        agg: Agg,
        arg: Option<&'a Expr>,
        span: Span,
    ) -> Generated<()> {
        let signed = arg.is_some_and(|a| a.ty.is_signed());
        let Some(arg) = arg else {
            return self.scoped(|g| {
                g.cell(map, key, span, false)?;
                Ok(())
            });
        };
        if matches!(agg, Agg::Series { .. }) {
            return self.scoped(|g| g.series(map, key, agg, arg, span));
        }
        self.scalar(arg)?;
        match agg {
            Agg::Hist { bits } => self.bucket_of_power(bits, signed),
            Agg::Lhist { min, max, step } => self.bucket_of_step(min, max, step, signed),
            _ => {}
        }
        self.holding(span, |g, held| {
            g.scoped(|g| {
                let def = &g.hir.maps[map];
                let skip = g.asm.label();
                match form(def) {
                    Form::PercpuBuckets => {
                        let at = g.word(span)?;
                        g.fetch(held, R1);
                        g.asm.store(Size::DW, g.fp, at as i16, R1);
                        g.asm.map(R1, g.layout.script_maps[map]);
                        g.asm.lea(R2, g.fp, at);
                        g.asm.call(MAP_LOOKUP_ELEM);
                        g.asm.jump_if(JmpOp::Eq, R0, 0, skip);
                        g.bump(0, 1);
                    }
                    Form::PercpuHashBuckets => {
                        let place = g.key_with_room(map, key, 8, span)?;
                        let bytes: u32 = def.keys.iter().map(crate::types::Ty::stored).sum();
                        g.fetch(held, R1);
                        g.store_reg(place.plus(bytes), R1);
                        g.find_or_make(map, place, span)?;
                        g.asm.jump_if(JmpOp::Eq, R0, 0, skip);
                        g.bump(0, 1);
                    }
                    _ => {
                        let end = g.cell_pointer(map, key, span)?;
                        g.fetch(held, R1);
                        g.combine(agg, signed);
                        g.asm.bind(end);
                    }
                }
                g.asm.bind(skip);
                Ok(())
            })
        })
    }

    /// `count()`: adds one to the cell.
    fn cell(&mut self, map: usize, key: &'a [Expr], span: Span, _: bool) -> Generated<()> {
        let end = self.cell_pointer(map, key, span)?;
        self.bump(0, 1);
        self.asm.bind(end);
        Ok(())
    }

    /// r0 = the cell of this processor; jumps to the label given when there is none.
    fn cell_pointer(
        &mut self,
        map: usize,
        key: &'a [Expr],
        span: Span,
    ) -> Generated<crate::emit::Label> {
        let end = self.asm.label();
        if form(&self.hir.maps[map]) == Form::PercpuSingle {
            let at = self.word(span)?;
            self.asm.store(Size::DW, self.fp, at as i16, 0);
            self.asm.map(R1, self.layout.script_maps[map]);
            self.asm.lea(R2, self.fp, at);
            self.asm.call(MAP_LOOKUP_ELEM);
        } else {
            let place = self.key_with_room(map, key, 0, span)?;
            self.find_or_make(map, place, span)?;
        }
        self.asm.jump_if(JmpOp::Eq, R0, 0, end);
        Ok(end)
    }

    /// r0 = the value of a key, made of zeros when it is new; 0 when the map is full.
    pub(super) fn find_or_make(
        &mut self,
        map: usize,
        key: super::Place,
        span: Span,
    ) -> Generated<()> {
        let index = self.layout.script_maps[map];
        let bytes = self.layout.maps[index as usize].value_size;
        let (found, failed) = (self.asm.label(), self.asm.label());
        self.asm.map(R1, index);
        self.address(R2, key);
        self.asm.call(MAP_LOOKUP_ELEM);
        self.asm.jump_if(JmpOp::Ne, R0, 0, found);
        self.scoped(|g| {
            let mut at = 0;
            for _ in 0..bytes / 8 {
                at = g.word(span)?;
                g.asm.store(Size::DW, g.fp, at as i16, 0);
            }
            g.asm.map(R1, index);
            g.address(R2, key);
            g.asm.lea(R3, g.fp, at);
            g.asm.mov(R4, BPF_NOEXIST);
            g.asm.call(MAP_UPDATE_ELEM);
            Ok(())
        })?;
        self.asm.map(R1, index);
        self.address(R2, key);
        self.asm.call(MAP_LOOKUP_ELEM);
        self.asm.jump_if(JmpOp::Ne, R0, 0, found);
        self.asm.bind(failed);
        self.count_global(globals::FAILED_UPDATES);
        self.asm.mov(R0, 0);
        self.asm.bind(found);
        Ok(())
    }

    /// Adds a constant to a word of the cell at r0.
    fn bump(&mut self, off: i16, by: i32) {
        self.asm.load(Size::DW, R1, R0, off);
        self.asm.alu(AluOp::Add, R1, by);
        self.asm.store(Size::DW, R0, off, R1);
    }

    /// Takes the number in r1 into the cell at r0.
    fn combine(&mut self, agg: Agg, signed: bool) {
        match agg {
            Agg::Avg { .. } | Agg::Stats { .. } => {
                self.asm.load(Size::DW, R2, R0, 0);
                self.asm.alu(AluOp::Add, R2, R1);
                self.asm.store(Size::DW, R0, 0, R2);
                self.bump(8, 1);
            }
            Agg::Min { .. } | Agg::Max { .. } => {
                let (set, end) = (self.asm.label(), self.asm.label());
                self.asm.load(Size::DW, R2, R0, 8);
                self.asm.jump_if(JmpOp::Eq, R2, 0, set);
                self.asm.load(Size::DW, R2, R0, 0);
                let keep = match (matches!(agg, Agg::Min { .. }), signed) {
                    (true, true) => JmpOp::SLe,
                    (true, false) => JmpOp::Le,
                    (false, true) => JmpOp::SGe,
                    (false, false) => JmpOp::Ge,
                };
                self.asm.jump_if(keep, R2, R1, end);
                self.asm.bind(set);
                self.asm.store(Size::DW, R0, 0, R1);
                self.asm.store(Size::DW, R0, 8, 1);
                self.asm.bind(end);
            }
            _ => {
                self.asm.load(Size::DW, R2, R0, 0);
                self.asm.alu(AluOp::Add, R2, R1);
                self.asm.store(Size::DW, R0, 0, R2);
            }
        }
    }

    /// r0 = the bucket of the number in r0: 0 below zero, then one for each number below `1 << bits`,
    /// then `1 << bits` for each power of two.
    fn bucket_of_power(&mut self, bits: u8, signed: bool) {
        let (end, small, negative) = (self.asm.label(), self.asm.label(), self.asm.label());
        if signed {
            self.asm.jump_if(JmpOp::SLt, R0, 0, negative);
        }
        self.asm.jump_if(JmpOp::Lt, R0, 1i32 << bits, small);
        // r3 = the highest bit's number, without branches: -(x >> n) is negative when a bit at n or above is set.
        self.asm.mov(R1, R0);
        self.asm.mov(R3, 0);
        for shift in [5, 4, 3, 2, 1, 0] {
            let n = 1 << shift;
            self.asm.mov(R2, R1);
            self.asm.alu(AluOp::Rsh, R2, n);
            self.asm.neg(R2);
            self.asm.alu(AluOp::Rsh, R2, 63);
            if shift > 0 {
                self.asm.alu(AluOp::Lsh, R2, shift);
            }
            self.asm.alu(AluOp::Rsh, R1, R2);
            self.asm.alu(AluOp::Add, R3, R2);
        }
        // 1 + ((highest - bits) << bits) + (x >> (highest - bits))
        if bits > 0 {
            self.asm.alu(AluOp::Sub, R3, i32::from(bits));
        }
        self.asm.alu(AluOp::And, R3, 63);
        self.asm.alu(AluOp::Rsh, R0, R3);
        if bits > 0 {
            self.asm.alu(AluOp::Lsh, R3, i32::from(bits));
        }
        self.asm.alu(AluOp::Add, R0, R3);
        self.asm.bind(small);
        self.asm.alu(AluOp::Add, R0, 1);
        // Code that nothing leads to would be refused.
        if signed {
            self.asm.jump(end);
            self.asm.bind(negative);
            self.asm.mov(R0, 0);
        }
        self.asm.bind(end);
    }

    /// r0 = the bucket of the number in r0: 0 below `min`, the last from `max` on.
    fn bucket_of_step(&mut self, min: i64, max: i64, step: i64, signed: bool) {
        let (end, below, above) = (self.asm.label(), self.asm.label(), self.asm.label());
        let (less, more) = if signed {
            (JmpOp::SLt, JmpOp::SGe)
        } else {
            (JmpOp::Lt, JmpOp::Ge)
        };
        let last = (max - min + step - 1) / step + 1;
        self.asm.constant(R1, min);
        self.asm.jump_if(less, R0, R1, below);
        self.asm.constant(R2, max);
        self.asm.jump_if(more, R0, R2, above);
        self.asm.alu(AluOp::Sub, R0, R1);
        self.asm.constant(R1, step);
        self.asm.alu(AluOp::Div, R0, R1);
        self.asm.alu(AluOp::Add, R0, 1);
        self.asm.jump(end);
        self.asm.bind(below);
        self.asm.mov(R0, 0);
        self.asm.jump(end);
        self.asm.bind(above);
        self.asm.mov(R0, last as i32);
        self.asm.bind(end);
    }

    /// r0 = what an aggregation comes to over all processors.
    pub(super) fn agg_get(
        &mut self,
        map: usize,
        key: &'a [Expr],
        agg: Agg,
        span: Span,
    ) -> Generated<()> {
        self.scoped(|g| {
            let key = match form(&g.hir.maps[map]) {
                Form::PercpuSingle => {
                    let at = g.word(span)?;
                    g.asm.store(Size::DW, g.fp, at as i16, 0);
                    super::Place::Stack(at)
                }
                _ => g.key_with_room(map, key, 0, span)?,
            };
            g.agg_of(map, key, agg, span)
        })
    }

    /// r0 = what the aggregation of a key in memory comes to.
    pub(super) fn agg_of(
        &mut self,
        map: usize,
        key: super::Place,
        agg: Agg,
        span: Span,
    ) -> Generated<()> {
        self.scoped(|g| {
            let index = g.layout.script_maps[map];
            let (total, count) = (g.word(span)? as i16, g.word(span)? as i16);
            g.asm.store(Size::DW, g.fp, total, 0);
            g.asm.store(Size::DW, g.fp, count, 0);
            for cpu in 0..g.cpus.min(MAX_CPUS) {
                let next = g.asm.label();
                g.asm.map(R1, index);
                g.address(R2, key);
                g.asm.mov(R3, cpu as i32);
                g.asm.call(MAP_LOOKUP_PERCPU_ELEM);
                g.asm.jump_if(JmpOp::Eq, R0, 0, next);
                g.asm.load(Size::DW, R1, R0, 0);
                g.asm.load(Size::DW, R2, g.fp, total);
                match agg {
                    Agg::Min { signed } | Agg::Max { signed } => {
                        g.asm.load(Size::DW, R3, R0, 8);
                        g.asm.jump_if(JmpOp::Eq, R3, 0, next);
                        let take = g.asm.label();
                        g.asm.load(Size::DW, R4, g.fp, count);
                        g.asm.jump_if(JmpOp::Eq, R4, 0, take);
                        let keep = match (matches!(agg, Agg::Min { .. }), signed) {
                            (true, true) => JmpOp::SLe,
                            (true, false) => JmpOp::Le,
                            (false, true) => JmpOp::SGe,
                            (false, false) => JmpOp::Ge,
                        };
                        g.asm.jump_if(keep, R2, R1, next);
                        g.asm.bind(take);
                        g.asm.store(Size::DW, g.fp, total, R1);
                        g.asm.store(Size::DW, g.fp, count, 1);
                    }
                    _ => {
                        g.asm.alu(AluOp::Add, R2, R1);
                        g.asm.store(Size::DW, g.fp, total, R2);
                        if matches!(agg, Agg::Avg { .. } | Agg::Stats { .. }) {
                            g.asm.load(Size::DW, R5, g.fp, count);
                            g.asm.load(Size::DW, R1, R0, 8);
                            g.asm.alu(AluOp::Add, R5, R1);
                            g.asm.store(Size::DW, g.fp, count, R5);
                        }
                    }
                }
                g.asm.bind(next);
            }
            g.asm.load(Size::DW, R0, g.fp, total);
            if let Agg::Avg { signed } = agg {
                g.asm.load(Size::DW, R1, g.fp, count);
                g.asm
                    .alu(if signed { AluOp::SDiv } else { AluOp::Div }, R0, R1);
            }
            Ok(())
        })
    }
}
