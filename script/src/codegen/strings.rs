//! Strings: reading them, and comparing them in place.

use probity_isa::{AluOp, JmpOp, Size};

use super::{Gen, Generated, Place, R0, R1, R2, R3, R4, R5};
use crate::hir::{Expr, ExprKind};
use crate::source::Span;
use crate::types::{Space, Ty};

/// `bpf_probe_read_user_str`, `bpf_probe_read_kernel_str`.
const PROBE_READ_USER_STR: u32 = 114;
const PROBE_READ_KERNEL_STR: u32 = 115;

/// Up to this many bytes are compared without a loop; longer values are in scratch memory always.
const UNROLLED: u32 = 64;

/// Word `w` of a text that has `bytes` of room, NUL included.
pub(super) fn words(s: &[u8], w: usize, bytes: usize) -> u64 {
    let mut out = [0u8; 8];
    for (i, b) in out.iter_mut().enumerate() {
        let at = w * 8 + i;
        if at + 1 < bytes {
            *b = s.get(at).copied().unwrap_or(0);
        }
    }
    u64::from_le_bytes(out)
}

/// Reads a string into memory: empty when it cannot be read.
pub(super) fn read_str<'a>(
    g: &mut Gen<'a>,
    addr: &'a Expr,
    space: Space,
    len: Option<&'a Expr>,
    size: u32,
    place: Place,
    span: Span,
) -> Generated<()> {
    g.scalar(addr)?;
    read_str_at_r0(g, space, len, size, place, span)
}

/// Reads the string whose address is in r0.
pub(super) fn read_str_at_r0<'a>(
    g: &mut Gen<'a>,
    space: Space,
    len: Option<&'a Expr>,
    size: u32,
    place: Place,
    span: Span,
) -> Generated<()> {
    match len {
        None => {
            g.asm.mov(R3, R0);
            g.asm.mov(R2, size as i32);
        }
        Some(len) => g.holding(span, |g, held| {
            g.scalar(len)?;
            g.asm.mov(R2, R0);
            g.at_most(R2, size);
            g.fetch_held(held, R3);
            Ok(())
        })?,
    }
    g.address(R1, place);
    g.call_by_space(space, PROBE_READ_USER_STR, PROBE_READ_KERNEL_STR);
    Ok(())
}

impl<'a> Gen<'a> {
    /// r0 = 1 when the strings are equal, up to `limit` bytes.
    pub(super) fn str_eq(
        &mut self,
        left: &'a Expr,
        right: &'a Expr,
        limit: Option<u32>,
        span: Span,
    ) -> Generated<()> {
        if let (ExprKind::Str(a), ExprKind::Str(b)) = (&left.kind, &right.kind) {
            let n = limit.map_or(usize::MAX, |l| l as usize);
            let cut = |s: &[u8]| s.iter().take(n).copied().collect::<Vec<_>>();
            self.asm.mov(R0, i32::from(cut(a) == cut(b)));
            return Ok(());
        }
        let (literal, other) = match (&left.kind, &right.kind) {
            (ExprKind::Str(s), _) => (Some(s), right),
            (_, ExprKind::Str(s)) => (Some(s), left),
            _ => (None, left),
        };
        if limit == Some(0) {
            self.asm.mov(R0, 1);
            return Ok(());
        }
        self.scoped(|g| {
            let (no, end) = (g.asm.label(), g.asm.label());
            match literal {
                Some(s) => {
                    let place = g.stored(other)?;
                    g.literal_eq(place, other.ty.stored(), s, limit, no);
                }
                None => {
                    let a = g.stored(left)?;
                    let b = g.stored(right)?;
                    let most = left.ty.stored().min(right.ty.stored());
                    let n = limit.map_or(most, |l| l.min(most));
                    g.both_eq(a, b, n, no, span)?;
                }
            }
            g.asm.mov(R0, 1);
            g.asm.jump(end);
            g.asm.bind(no);
            g.asm.mov(R0, 0);
            g.asm.bind(end);
            Ok(())
        })
    }

    /// Goes on when the stored string is this text.
    fn literal_eq(
        &mut self,
        place: Place,
        room: u32,
        s: &[u8],
        limit: Option<u32>,
        no: crate::emit::Label,
    ) {
        let mut bytes = s.to_vec();
        bytes.push(0);
        if let Some(l) = limit {
            bytes.truncate(l as usize);
        }
        if bytes.len() > room as usize {
            self.asm.jump(no);
            return;
        }
        let mut at = 0;
        while at < bytes.len() {
            let left = bytes.len() - at;
            let step = [8usize, 4, 2, 1]
                .into_iter()
                .find(|s| *s <= left)
                .unwrap_or(1);
            let mut word = [0u8; 8];
            word[..step].copy_from_slice(&bytes[at..at + step]);
            let from = place.plus(at as u32);
            let size = super::scalar::size(step as u8);
            self.asm.load(size, R0, self.base(from), from.off() as i16);
            let value = i64::from_le_bytes(word);
            match i32::try_from(value) {
                Ok(v) => self.asm.jump_if(JmpOp::Ne, R0, v, no),
                Err(_) => {
                    self.asm.constant(R1, value);
                    self.asm.jump_if(JmpOp::Ne, R0, R1, no);
                }
            }
            at += step;
        }
    }

    /// Goes on when two stored strings agree up to a NUL or in `n` bytes.
    fn both_eq(
        &mut self,
        a: Place,
        b: Place,
        n: u32,
        no: crate::emit::Label,
        span: Span,
    ) -> Generated<()> {
        let same = self.asm.label();
        if n <= UNROLLED {
            for i in 0..n {
                let (x, y) = (a.plus(i), b.plus(i));
                self.asm.load(Size::B, R1, self.base(x), x.off() as i16);
                self.asm.load(Size::B, R2, self.base(y), y.off() as i16);
                self.asm.jump_if(JmpOp::Ne, R1, R2, no);
                self.asm.jump_if(JmpOp::Eq, R1, 0, same);
            }
            self.asm.bind(same);
            return Ok(());
        }
        let _ = span;
        let again = self.asm.label();
        self.address(R3, a);
        self.address(R4, b);
        self.asm.mov(R5, 0);
        self.asm.bind(again);
        self.asm.load(Size::B, R1, R3, 0);
        self.asm.load(Size::B, R2, R4, 0);
        self.asm.jump_if(JmpOp::Ne, R1, R2, no);
        self.asm.jump_if(JmpOp::Eq, R1, 0, same);
        self.asm.alu(AluOp::Add, R3, 1);
        self.asm.alu(AluOp::Add, R4, 1);
        self.asm.alu(AluOp::Add, R5, 1);
        self.asm.jump_if(JmpOp::Lt, R5, n as i32, again);
        self.asm.bind(same);
        Ok(())
    }

    pub(super) fn mem_eq(&mut self, left: &'a Expr, right: &'a Expr, span: Span) -> Generated<()> {
        self.scoped(|g| {
            let Some(ty) = left.ty.unify(&right.ty) else {
                g.asm.mov(R0, 0);
                return Ok(());
            };
            let wide = |g: &mut Self, e: &'a Expr| -> Generated<Place> {
                if e.ty == ty {
                    return g.stored(e);
                }
                let place = g.room(ty.stored(), span)?;
                g.store_as(e, &ty, place, true)?;
                Ok(place)
            };
            let a = wide(g, left)?;
            let b = wide(g, right)?;
            let (no, end) = (g.asm.label(), g.asm.label());
            for w in 0..ty.stored() / 8 {
                g.load_word(R1, a.plus(w * 8));
                g.load_word(R2, b.plus(w * 8));
                g.asm.jump_if(JmpOp::Ne, R1, R2, no);
            }
            g.asm.mov(R0, 1);
            g.asm.jump(end);
            g.asm.bind(no);
            g.asm.mov(R0, 0);
            g.asm.bind(end);
            Ok(())
        })
    }

    /// A copy of a string in scratch memory, where offsets may be unknown.
    pub(super) fn in_scratch(&mut self, e: &'a Expr, span: Span) -> Generated<Place> {
        let place = self.stored(e)?;
        if let Place::Scratch(_) = place {
            return Ok(place);
        }
        let copy = self.scratch_room(e.ty.stored(), span)?;
        self.copy(place, copy, e.ty.stored());
        Ok(copy)
    }

    /// r0 = 1 when the stored string contains the text.
    pub(super) fn str_has(&mut self, hay: &'a Expr, needle: &[u8], span: Span) -> Generated<()> {
        if needle.is_empty() {
            self.asm.mov(R0, 1);
            return Ok(());
        }
        let room = hay.ty.stored();
        if needle.len() as u32 > room {
            self.asm.mov(R0, 0);
            return Ok(());
        }
        self.scoped(|g| {
            let place = g.in_scratch(hay, span)?;
            let (again, next, yes, no, end) = (
                g.asm.label(),
                g.asm.label(),
                g.asm.label(),
                g.asm.label(),
                g.asm.label(),
            );
            let turns = room - needle.len() as u32 + 1;
            g.address(R3, place);
            g.asm.mov(R5, 0);
            g.asm.bind(again);
            for (i, b) in needle.iter().enumerate() {
                g.asm.load(Size::B, R1, R3, i as i16);
                if i == 0 {
                    g.asm.jump_if(JmpOp::Eq, R1, 0, no);
                }
                g.asm.jump_if(JmpOp::Ne, R1, i32::from(*b), next);
            }
            g.asm.jump(yes);
            g.asm.bind(next);
            g.asm.alu(AluOp::Add, R3, 1);
            g.asm.alu(AluOp::Add, R5, 1);
            g.asm.jump_if(JmpOp::Lt, R5, turns as i32, again);
            g.asm.bind(no);
            g.asm.mov(R0, 0);
            g.asm.jump(end);
            g.asm.bind(yes);
            g.asm.mov(R0, 1);
            g.asm.bind(end);
            Ok(())
        })
    }

    /// r0 = bytes before the NUL.
    pub(super) fn str_len(&mut self, of: &'a Expr, span: Span) -> Generated<()> {
        let room = of.ty.stored();
        self.scoped(|g| {
            let place = g.in_scratch(of, span)?;
            g.length(place, room);
            Ok(())
        })
    }

    /// r0 = bytes before the NUL of what lies in scratch memory.
    fn length(&mut self, place: Place, room: u32) {
        let (again, end) = (self.asm.label(), self.asm.label());
        self.address(R3, place);
        self.asm.mov(R0, 0);
        self.asm.bind(again);
        self.asm.load(Size::B, R1, R3, 0);
        self.asm.jump_if(JmpOp::Eq, R1, 0, end);
        self.asm.alu(AluOp::Add, R3, 1);
        self.asm.alu(AluOp::Add, R0, 1);
        self.asm.jump_if(JmpOp::Lt, R0, room as i32, again);
        self.asm.bind(end);
    }

    /// Writes one string and, from its NUL on, the other; what does not fit `own` is cut off.
    pub(super) fn concat(
        &mut self,
        left: &'a Expr,
        right: &'a Expr,
        own: &Ty,
        ty: &Ty,
        place: Place,
        span: Span,
    ) -> Generated<()> {
        let (first, second) = (left.ty.stored(), right.ty.stored());
        let room = match own {
            Ty::Str(n) => *n,
            other => other.stored(),
        };
        self.scoped(|g| {
            // Room for both whole ones, so that wherever the first ends the second fits behind it.
            let both = g.scratch_room((first + second).max(own.stored()), span)?;
            g.scoped(|g| g.store_as(left, &left.ty, both, true))?;
            g.zero(both, first, (first + second).max(own.stored()));
            let second_at = g.in_scratch(right, span)?;
            // The kernel's copying of texts finds their ends: a loop of ours over their characters would be walked
            // anew by a verifier for each of its ends. Over itself the first stays as it is.
            let copy = |g: &mut Self, size: u32, from: Place| {
                g.asm.mov(R2, size as i32);
                g.address(R3, from);
                g.asm.call(PROBE_READ_KERNEL_STR);
            };
            g.address(R1, both);
            copy(g, first, both);
            g.asm.alu(AluOp::Sub, R0, 1);
            g.at_most(R0, first);
            g.address(R1, both);
            g.asm.alu(AluOp::Add, R1, R0);
            copy(g, second, second_at);
            // Zero from the last byte of the room on, whatever stands there.
            for at in room - 1..own.stored() {
                let last = both.plus(at);
                g.asm.store(Size::B, g.base(last), last.off() as i16, 0);
            }
            g.convert(both, own, ty, place);
            Ok(())
        })
    }

    /// r0 = 1 when the whole stored string fits the pattern.
    ///
    /// The characters are gone through once, with a bit for each item that the string may have come to;
    /// there is no way back, so the time does not depend on the pattern.
    pub(super) fn str_glob(&mut self, of: &'a Expr, pattern: usize, span: Span) -> Generated<()> {
        let glob = &self.hir.patterns[pattern];
        let room = of.ty.stored();
        self.scoped(|g| {
            let place = g.in_scratch(of, span)?;
            let (again, end) = (g.asm.label(), g.asm.label());
            g.address(R3, place);
            g.asm.mov(R4, 1);
            g.asm.mov(R5, 0);
            g.asm.constant(R0, glob.any_before as i64);
            g.asm.bind(again);
            g.asm.load(Size::B, R1, R3, 0);
            g.asm.jump_if(JmpOp::Eq, R1, 0, end);
            g.asm.alu(AluOp::Lsh, R1, 3);
            g.asm.map_value(
                R2,
                g.layout.patterns_index,
                super::maps::pattern_at(pattern),
            );
            g.asm.alu(AluOp::Add, R2, R1);
            g.asm.load(Size::DW, R2, R2, 0);
            g.asm.alu(AluOp::And, R2, R4);
            g.asm.alu(AluOp::Lsh, R2, 1);
            g.asm.alu(AluOp::And, R4, R0);
            g.asm.alu(AluOp::Or, R4, R2);
            g.asm.jump_if(JmpOp::Eq, R4, 0, end);
            g.asm.alu(AluOp::Add, R3, 1);
            g.asm.alu(AluOp::Add, R5, 1);
            g.asm.jump_if(JmpOp::Lt, R5, room as i32, again);
            g.asm.bind(end);
            g.asm.mov(R0, R4);
            g.asm.alu(AluOp::Rsh, R0, glob.items as i32);
            g.asm.alu(AluOp::And, R0, 1);
            Ok(())
        })
    }
}
