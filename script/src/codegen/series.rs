//! `tseries`: one cell for each interval of time, the cells used in turns.

use probity_isa::{AluOp, JmpOp, Size};

use super::maps::{Form, form};
use super::{Gen, Generated, MAP_LOOKUP_ELEM, R0, R1, R2, R3};
use crate::hir::Expr;
use crate::source::Span;
use crate::types::{Agg, SeriesOp, Ty};

/// `bpf_ktime_get_boot_ns`.
const KTIME_GET_BOOT_NS: u32 = 125;

/// Offsets in a cell: which interval it is of, the value, how many values there were.
pub(crate) const EPOCH: i16 = 0;
pub(crate) const VALUE: i16 = 8;
pub(crate) const COUNT: i16 = 16;

impl<'a> Gen<'a> {
    pub(super) fn series(
        &mut self,
        map: usize,
        key: &'a [Expr],
        agg: Agg,
        arg: &'a Expr,
        span: Span,
    ) -> Generated<()> {
        let Agg::Series {
            interval,
            count,
            op,
            signed,
        } = agg
        else {
            return Ok(());
        };
        let (value, epoch) = (self.word(span)? as i16, self.word(span)? as i16);
        self.scalar(arg)?;
        self.asm.store(Size::DW, self.fp, value, R0);
        self.asm.call(KTIME_GET_BOOT_NS);
        self.asm.constant(R1, interval);
        self.asm.alu(AluOp::Div, R0, R1);
        self.asm.store(Size::DW, self.fp, epoch, R0);
        let skip = self.asm.label();
        match form(&self.hir.maps[map]) {
            Form::PercpuHashBuckets => {
                let place = self.key_with_room(map, key, 8, span)?;
                let bytes: u32 = self.hir.maps[map].keys.iter().map(Ty::stored).sum();
                self.asm.load(Size::DW, R1, self.fp, epoch);
                self.asm.alu(AluOp::Mod, R1, count as i32);
                self.store_reg(place.plus(bytes), R1);
                self.find_or_make(map, place, span)?;
            }
            _ => {
                let at = self.word(span)?;
                self.asm.load(Size::DW, R1, self.fp, epoch);
                self.asm.alu(AluOp::Mod, R1, count as i32);
                self.asm.store(Size::DW, self.fp, at as i16, R1);
                self.asm.map(R1, self.layout.script_maps[map]);
                self.asm.lea(R2, self.fp, at);
                self.asm.call(MAP_LOOKUP_ELEM);
            }
        }
        self.asm.jump_if(JmpOp::Eq, R0, 0, skip);
        // A cell of an earlier turn begins anew.
        let same = self.asm.label();
        self.asm.load(Size::DW, R2, self.fp, epoch);
        self.asm.load(Size::DW, R1, R0, EPOCH);
        self.asm.jump_if(JmpOp::Eq, R1, R2, same);
        self.asm.store(Size::DW, R0, EPOCH, R2);
        self.asm.store(Size::DW, R0, VALUE, 0);
        self.asm.store(Size::DW, R0, COUNT, 0);
        self.asm.bind(same);
        self.asm.load(Size::DW, R1, self.fp, value);
        self.asm.load(Size::DW, R2, R0, VALUE);
        match op {
            SeriesOp::Sum | SeriesOp::Avg => {
                self.asm.alu(AluOp::Add, R2, R1);
                self.asm.store(Size::DW, R0, VALUE, R2);
            }
            SeriesOp::Last => self.asm.store(Size::DW, R0, VALUE, R1),
            SeriesOp::Min | SeriesOp::Max => {
                let (set, end) = (self.asm.label(), self.asm.label());
                self.asm.load(Size::DW, R3, R0, COUNT);
                self.asm.jump_if(JmpOp::Eq, R3, 0, set);
                let keep = match (op == SeriesOp::Min, signed) {
                    (true, true) => JmpOp::SLe,
                    (true, false) => JmpOp::Le,
                    (false, true) => JmpOp::SGe,
                    (false, false) => JmpOp::Ge,
                };
                self.asm.jump_if(keep, R2, R1, end);
                self.asm.bind(set);
                self.asm.store(Size::DW, R0, VALUE, R1);
                self.asm.bind(end);
            }
        }
        self.asm.load(Size::DW, R1, R0, COUNT);
        self.asm.alu(AluOp::Add, R1, 1);
        self.asm.store(Size::DW, R0, COUNT, R1);
        self.asm.bind(skip);
        Ok(())
    }
}
