//! Values larger than a number: worked out straight into the memory they are wanted in.
//!
//! **Invariant:** a stored string is zero behind its NUL, so stored values are equal when their bytes
//! are; only the arguments of records may have anything there.

use probity_isa::{AluOp, JmpOp, Size};

use super::strings::{read_str, read_str_at_r0, words};
use super::{Gen, Generated, Place, R0, R1, R2, R3, R4, R6};
use crate::diagnostics::Diagnostic;
use crate::hir::{Expr, ExprKind};
use crate::source::Span;
use crate::types::{Space, Ty};

/// `bpf_probe_read_user`, `bpf_probe_read_kernel`, `bpf_get_stackid`, `bpf_get_stack`, `bpf_get_current_pid_tgid`.
const PROBE_READ_USER: u32 = 112;
const PROBE_READ_KERNEL: u32 = 113;
const GET_STACKID: u32 = 27;
const GET_STACK: u32 = 67;
const GET_CURRENT_PID_TGID: u32 = 14;

impl<'a> Gen<'a> {
    /// Where a value is, working it out when it is nowhere yet.
    pub(super) fn stored(&mut self, e: &'a Expr) -> Generated<Place> {
        match &e.kind {
            ExprKind::Var(id) => Ok(self.vars[*id]),
            ExprKind::Part { of, offset } => Ok(self.stored(of)?.plus(*offset)),
            _ => {
                let place = self.room(e.ty.stored(), e.span)?;
                self.store_as(e, &e.ty, place, true)?;
                Ok(place)
            }
        }
    }

    /// Works `e` out into memory as a value of type `ty`, which holds all values of `e`'s own type.
    /// Without `exact`, bytes behind a string's NUL may be anything.
    pub(super) fn store_as(
        &mut self,
        e: &'a Expr,
        ty: &Ty,
        place: Place,
        exact: bool,
    ) -> Generated<()> {
        let before = self.asm.at(e.span);
        self.store_inner(e, ty, place, exact)?;
        self.asm.at(before);
        Ok(())
    }

    fn store_inner(&mut self, e: &'a Expr, ty: &Ty, place: Place, exact: bool) -> Generated<()> {
        // Memory on the stack has to be initialised, all of it.
        let exact = exact || matches!(place, Place::Stack(_));
        if e.ty == Ty::Void {
            return self.scalar(e);
        }
        if e.ty.is_scalar() {
            match e.constant().and_then(|v| i32::try_from(v).ok()) {
                Some(v) => self.store_imm(place, v),
                None => {
                    self.scalar(e)?;
                    self.store_reg(place, R0);
                }
            }
            return Ok(());
        }
        match &e.kind {
            ExprKind::Str(s) => {
                self.text(s, ty.stored(), place, exact);
                Ok(())
            }
            ExprKind::Var(id) => {
                let from = self.vars[*id];
                let own = &self.var_types[*id];
                self.convert(from, own, ty, place);
                Ok(())
            }
            ExprKind::Part { .. } => self.scoped(|g| {
                let from = g.stored(e)?;
                g.convert(from, &e.ty, ty, place);
                Ok(())
            }),
            ExprKind::MapGet { map, key } => self.map_get_stored(*map, key, ty, place, e.span),
            ExprKind::Fill { helper, args } => {
                self.fill(*helper, args, place);
                self.zero(place, e.ty.stored(), ty.stored());
                Ok(())
            }
            ExprKind::CtxStr { offset, bytes } => self.ctx_str(*offset, *bytes, ty, place, e.span),
            ExprKind::ReadStr { addr, space, len } => {
                let size = match e.ty {
                    Ty::Str(n) => n,
                    _ => ty.stored(),
                };
                if exact {
                    self.zero(place, 0, ty.stored());
                }
                read_str(self, addr, *space, len.as_deref(), size, place, e.span)
            }
            ExprKind::StrConcat { left, right } => {
                self.concat(left, right, &e.ty, ty, place, e.span)
            }
            ExprKind::ReadBuf { addr, space, len } => {
                self.read_buf(addr, *space, len, ty, place, e)
            }
            ExprKind::ReadMem { addr, space } => self.read_mem(addr, *space, &e.ty, ty, place),
            ExprKind::Slice { of, offset } => {
                self.scoped(|g| g.slice(of, *offset, &e.ty, ty, place))
            }
            ExprKind::BufOf { value, bytes } => self.scoped(|g| {
                g.zero(place, 8, ty.stored());
                g.store_imm(place, *bytes as i32);
                let from = g.stored(value)?;
                let most = value.ty.stored().min(ty.stored().saturating_sub(8));
                g.copy(from, place.plus(8), most);
                // Only the bytes that belong to it.
                if bytes % 8 != 0 && *bytes < most {
                    let last = place.plus(8 + bytes / 8 * 8);
                    g.load_word(R0, last);
                    let up = 64 - (bytes % 8) as i32 * 8;
                    g.asm.alu(AluOp::Lsh, R0, up);
                    g.asm.alu(AluOp::Rsh, R0, up);
                    g.store_reg(last, R0);
                }
                g.zero(place, 8 + bytes.next_multiple_of(8), ty.stored());
                Ok(())
            }),
            ExprKind::Tuple(items) => {
                // A record's fields may stand in another order than in the type.
                let names: Vec<Option<&str>> = match &e.ty {
                    Ty::Record(f) => f.iter().map(|(n, _)| Some(n.as_str())).collect(),
                    _ => vec![None; items.len()],
                };
                for (n, item) in items.iter().enumerate() {
                    let Some((at, t)) = field(ty, n, names.get(n).copied().flatten()) else {
                        return Err(Diagnostic::error(
                            e.span,
                            "these tuples do not fit each other",
                        ));
                    };
                    self.store_as(item, t, place.plus(at), exact)?;
                }
                Ok(())
            }
            ExprKind::Words(items) => {
                for (n, item) in items.iter().enumerate() {
                    self.scalar(item)?;
                    self.store_reg(place.plus(n as u32 * 8), R0);
                }
                Ok(())
            }
            ExprKind::Frames { flags, .. } => {
                self.asm.mov(R1, R6);
                self.address(R2, place.plus(8));
                self.asm.mov(R3, ty.stored() as i32 - 8);
                self.asm.constant(R4, *flags as i64);
                self.asm.call(GET_STACK);
                self.store_reg(place, R0);
                Ok(())
            }
            ExprKind::Unwound { limit, counted } => {
                self.scoped(|g| g.unwound(*limit, *counted, place, e.span))
            }
            ExprKind::Stack {
                kernel,
                flags,
                limit,
            } => {
                self.asm.mov(R1, R6);
                self.asm.map(R2, self.layout.stacks(*limit));
                self.asm.constant(R3, *flags as i64);
                self.asm.call(GET_STACKID);
                self.store_reg(place, R0);
                if *kernel {
                    self.asm.mov(R0, 0);
                } else {
                    self.asm.call(GET_CURRENT_PID_TGID);
                    self.asm.alu(AluOp::Rsh, R0, 32);
                }
                self.asm.constant(R1, i64::from(*limit) << 32);
                self.asm.alu(AluOp::Or, R0, R1);
                self.store_reg(place.plus(8), R0);
                Ok(())
            }
            ExprKind::Cond { cond, yes, no } => {
                let (other, end) = (self.asm.label(), self.asm.label());
                self.branch_unless(cond, other)?;
                self.store_as(yes, ty, place, exact)?;
                self.asm.jump(end);
                self.asm.bind(other);
                self.store_as(no, ty, place, exact)?;
                self.asm.bind(end);
                Ok(())
            }
            ExprKind::Block(stmts, value) => {
                self.stmts(stmts)?;
                self.store_as(value, ty, place, exact)
            }
            _ => Err(Diagnostic::error(
                e.span,
                format!("a value of type `{}` cannot be kept", e.ty),
            )),
        }
    }

    /// Writes text and zeros up to `bytes`, or only up to the word with the NUL.
    fn text(&mut self, s: &[u8], bytes: u32, place: Place, exact: bool) {
        let full = bytes as usize / 8;
        let needed = (s.len() + 1).div_ceil(8).min(full);
        let count = if exact { full } else { needed };
        for w in 0..count {
            let word = words(s, w, bytes as usize);
            let at = place.plus(w as u32 * 8);
            if let Ok(v) = i32::try_from(word as i64) {
                self.store_imm(at, v);
                continue;
            }
            for (half, off) in [(word as u32 as i32, 0), ((word >> 32) as u32 as i32, 4)] {
                let at = at.plus(off);
                self.asm
                    .store(Size::W, self.base(at), at.off() as i16, half);
            }
        }
    }

    /// Zeros from byte `from` up to byte `to`.
    pub(super) fn zero(&mut self, place: Place, from: u32, to: u32) {
        let mut at = from;
        while at + 8 <= to {
            self.store_imm(place.plus(at), 0);
            at += 8;
        }
    }

    pub(super) fn copy(&mut self, from: Place, to: Place, bytes: u32) {
        if from == to {
            return;
        }
        for w in 0..bytes / 8 {
            self.load_word(R0, from.plus(w * 8));
            self.store_reg(to.plus(w * 8), R0);
        }
    }

    /// Copies a stored value of one type into the room of a wider one.
    pub(super) fn convert(&mut self, from: Place, own: &Ty, ty: &Ty, to: Place) {
        match (own, ty) {
            (Ty::Tuple(_) | Ty::Record(_), Ty::Tuple(_) | Ty::Record(_)) if own != ty => {
                let items: Vec<(Option<&str>, &Ty)> = match own {
                    Ty::Record(f) => f.iter().map(|(n, t)| (Some(n.as_str()), t)).collect(),
                    Ty::Tuple(f) => f.iter().map(|t| (None, t)).collect(),
                    _ => Vec::new(),
                };
                let mut at = 0;
                for (n, (name, t)) in items.into_iter().enumerate() {
                    if let Some((off, wide)) = field(ty, n, name) {
                        self.convert(from.plus(at), t, wide, to.plus(off));
                    }
                    at += t.stored();
                }
            }
            _ => {
                let bytes = own.stored().min(ty.stored());
                self.copy(from, to, bytes);
                self.zero(to, bytes, ty.stored());
            }
        }
    }

    /// Copies from the memory a register points to, which is a stored value of type `own`.
    pub(super) fn copy_from_reg(&mut self, reg: probity_isa::Reg, bytes: u32, to: Place) {
        for w in 0..bytes / 8 {
            self.asm.load(Size::DW, R1, reg, (w * 8) as i16);
            self.store_reg(to.plus(w * 8), R1);
        }
    }

    fn ctx_str(
        &mut self,
        offset: i32,
        bytes: u32,
        ty: &Ty,
        place: Place,
        span: Span,
    ) -> Generated<()> {
        /// `TASK_COMM_LEN`: names of threads, which the kernel keeps zero behind the NUL.
        const COMM_LEN: u32 = 16;
        if bytes != COMM_LEN {
            self.zero(place, 0, ty.stored());
            self.asm.lea(R0, R6, offset);
            return read_str_at_r0(self, Space::Kernel, None, bytes, place, span);
        }
        let mut at = 0;
        while at < bytes {
            let place_at = offset + at as i32;
            let step = [8u32, 4, 2, 1]
                .into_iter()
                .find(|s| place_at % *s as i32 == 0 && at % s == 0 && at + s <= bytes)
                .unwrap_or(1);
            let size = super::scalar::size(step as u8);
            let off = i16::try_from(place_at)
                .map_err(|_| Diagnostic::error(span, "this field is too far away"))?;
            self.asm.load(size, R0, R6, off);
            let to = place.plus(at);
            self.asm.store(size, self.base(to), to.off() as i16, R0);
            at += step;
        }
        self.zero(place, bytes, ty.stored());
        Ok(())
    }

    fn read_buf(
        &mut self,
        addr: &'a Expr,
        space: Space,
        len: &'a Expr,
        ty: &Ty,
        place: Place,
        e: &'a Expr,
    ) -> Generated<()> {
        let Ty::Buf(most) = e.ty else {
            return Err(Diagnostic::error(e.span, "this is no buffer"));
        };
        self.zero(place, 8, ty.stored());
        self.scalar(addr)?;
        self.holding(e.span, |g, held| {
            match len.constant() {
                Some(n) => g.asm.mov(R2, n.clamp(0, i64::from(most)) as i32),
                None => {
                    g.scalar(len)?;
                    g.asm.mov(R2, R0);
                    g.at_most(R2, most);
                }
            }
            g.store_reg(place, R2);
            g.fetch_held(held, R3);
            g.address(R1, place.plus(8));
            g.call_by_space(space, PROBE_READ_USER, PROBE_READ_KERNEL);
            Ok(())
        })
    }

    /// Bounds an unsigned number.
    pub(super) fn at_most(&mut self, reg: probity_isa::Reg, most: u32) {
        let fits = self.asm.label();
        self.asm.jump_if(JmpOp::Le, reg, most as i32, fits);
        self.asm.mov(reg, most as i32);
        self.asm.bind(fits);
    }
}

/// Where item `n` (or the field of this name) of a tuple type is.
fn field<'t>(ty: &'t Ty, n: usize, name: Option<&str>) -> Option<(u32, &'t Ty)> {
    match ty {
        Ty::Tuple(items) => Some((
            items[..n.min(items.len())].iter().map(Ty::stored).sum(),
            items.get(n)?,
        )),
        Ty::Record(items) => {
            let n = match name {
                Some(name) => items.iter().position(|(other, _)| other == name)?,
                None => n,
            };
            Some((
                items[..n].iter().map(|(_, t)| t.stored()).sum(),
                &items.get(n)?.1,
            ))
        }
        _ => None,
    }
}
