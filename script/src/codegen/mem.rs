//! Structures and arrays by value: copies of memory, and the numbers in them.

use probity_isa::{AluOp, JmpOp, Size};

use super::maps::{Form, form};
use super::scalar::size;
use super::{Gen, Generated, Place, R0, R1, R2, R3};
use crate::hir::{Expr, ExprKind};
use crate::source::Span;
use crate::types::{Space, Ty};

/// `bpf_probe_read_user`, `bpf_probe_read_kernel`.
const PROBE_READ_USER: u32 = 112;
const PROBE_READ_KERNEL: u32 = 113;

impl<'a> Gen<'a> {
    /// Copies what is at an address; the helpers leave zeros where they cannot read.
    pub(super) fn read_mem(
        &mut self,
        addr: &'a Expr,
        space: Space,
        own: &Ty,
        ty: &Ty,
        place: Place,
    ) -> Generated<()> {
        let bytes = match own {
            Ty::Mem(m) => m.bytes,
            other => other.stored(),
        };
        // The last word may be used in part only, and the room be larger.
        self.zero(place, bytes / 8 * 8, ty.stored());
        self.scalar(addr)?;
        self.asm.mov(R3, R0);
        self.address(R1, place);
        self.asm.mov(R2, bytes as i32);
        self.call_by_space(space, PROBE_READ_USER, PROBE_READ_KERNEL);
        Ok(())
    }

    /// r0 = a number in a stored value.
    pub(super) fn bytes_of(
        &mut self,
        of: &'a Expr,
        offset: u32,
        bytes: u8,
        signed: bool,
    ) -> Generated<()> {
        let place = self.stored(of)?.plus(offset);
        self.load_aligned(place, offset, bytes);
        if signed {
            self.extend(R0, bytes, true);
        }
        Ok(())
    }

    /// r0 = `bytes` at a place, in pieces where its offset is not a multiple of its size.
    fn load_aligned(&mut self, place: Place, offset: u32, bytes: u8) {
        let base = self.base(place);
        let step = aligned_step(offset, u32::from(bytes));
        if step == u32::from(bytes) {
            self.asm.load(size(bytes), R0, base, place.off() as i16);
            return;
        }
        self.asm.mov(R0, 0);
        let mut at = 0;
        while at < u32::from(bytes) {
            let from = place.plus(at);
            self.asm.load(size(step as u8), R1, base, from.off() as i16);
            if at > 0 {
                self.asm.alu(AluOp::Lsh, R1, (at * 8) as i32);
            }
            self.asm.alu(AluOp::Or, R0, R1);
            at += step;
        }
    }

    /// A smaller structure or array out of a stored one.
    pub(super) fn slice(
        &mut self,
        of: &'a Expr,
        offset: u32,
        own: &Ty,
        ty: &Ty,
        to: Place,
    ) -> Generated<()> {
        let bytes = match own {
            Ty::Mem(m) => m.bytes,
            other => other.stored(),
        };
        let from = self.stored(of)?.plus(offset);
        self.zero(to, bytes / 8 * 8, ty.stored());
        let mut at = 0;
        while at < bytes {
            let step = aligned_step(offset + at, bytes - at).min(aligned_step(at, bytes - at));
            let (x, y) = (from.plus(at), to.plus(at));
            self.asm
                .load(size(step as u8), R0, self.base(x), x.off() as i16);
            self.asm
                .store(size(step as u8), self.base(y), y.off() as i16, R0);
            at += step;
        }
        Ok(())
    }

    /// r0 = an element by an index that is known at run time only.
    pub(super) fn element(
        &mut self,
        of: &'a Expr,
        index: &'a Expr,
        count: u32,
        (bytes, signed): (u8, bool),
        span: Span,
    ) -> Generated<()> {
        // In scratch memory: the stack does not take unknown offsets everywhere.
        let place = self.scratch_room(of.ty.stored(), span)?;
        self.store_as(of, &of.ty, place, true)?;
        self.scalar(index)?;
        let (no, end) = (self.asm.label(), self.asm.label());
        self.asm.jump_if(JmpOp::Ge, R0, count as i32, no);
        self.asm.alu(AluOp::Mul, R0, i32::from(bytes));
        self.address(R1, place);
        self.asm.alu(AluOp::Add, R1, R0);
        self.asm.load(size(bytes), R0, R1, 0);
        if signed {
            self.extend(R0, bytes, true);
        }
        self.asm.jump(end);
        self.asm.bind(no);
        self.asm.mov(R0, 0);
        self.asm.bind(end);
        Ok(())
    }

    /// r0 = where a value is; 0 when a map has no such entry.
    pub(super) fn address_of(&mut self, of: &'a Expr, span: Span) -> Generated<()> {
        match &of.kind {
            ExprKind::MapGet { map, .. } if form(&self.hir.maps[*map]) == Form::Single => {
                self.asm.map_value(R0, self.layout.script_maps[*map], 0);
                Ok(())
            }
            ExprKind::MapGet { map, key } => self.scoped(|g| g.lookup(*map, key, span)),
            _ if of.ty.is_scalar() && !matches!(of.kind, ExprKind::Var(_)) => {
                // A number that is nowhere: kept for as long as the statement lasts.
                let at = self.word(span)?;
                self.scalar(of)?;
                self.asm.store(Size::DW, self.fp, at as i16, R0);
                self.asm.lea(R0, self.fp, at);
                Ok(())
            }
            _ => {
                let place = self.stored(of)?;
                self.address(R0, place);
                Ok(())
            }
        }
    }
}

/// Bytes that can be moved at once at an offset, of those that are left.
fn aligned_step(offset: u32, left: u32) -> u32 {
    [8u32, 4, 2, 1]
        .into_iter()
        .find(|s| *s <= left && offset.is_multiple_of(*s))
        .unwrap_or(1)
}
