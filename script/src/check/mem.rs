//! Structures and arrays by value: copies of memory that variables, maps and tuples can hold.

use std::sync::Arc;

use probity_btf::Type;

use super::named::btf_type;
use super::{Checked, Checker};
use crate::diagnostics::Diagnostic;
use crate::hir::{Arith, Expr, ExprKind};
use crate::source::Span;
use crate::types::{Layout, LayoutField, MemTy, Space, StructRef, Ty};

/// Larger structures are not held by value.
const MAX_BYTES: u32 = 16 * 1024;
/// Fields of one value that are described for printing.
const MAX_FIELDS: usize = 2000;

impl<'a> Checker<'a> {
    /// A structure or array becomes a copy of it; anything else stays as it is.
    pub(crate) fn by_value(&self, e: Expr) -> Checked<Expr> {
        let space = match &e.ty {
            Ty::Struct(_, s) | Ty::Array(_, _, s) => *s,
            _ => return Ok(e),
        };
        let span = e.span;
        let ty = self.mem_type(&e.ty, span)?;
        let space = if matches!(e.kind, ExprKind::Ctx(_)) {
            Space::Kernel
        } else {
            self.known_space(space)
        };
        let addr = Expr::new(e.kind, Ty::U64, span);
        Ok(Expr::new(
            ExprKind::ReadMem {
                addr: Box::new(addr),
                space,
            },
            ty,
            span,
        ))
    }

    /// The by-value type of a structure or array.
    pub(crate) fn mem_type(&self, ty: &Ty, span: Span) -> Checked<Ty> {
        let bytes = self.memory_layout(ty).0;
        if bytes == 0 {
            return Err(Diagnostic::error(
                span,
                format!("the size of a value of type `{ty}` is not known"),
            )
            .hint("name one of its elements or fields"));
        }
        if bytes > MAX_BYTES {
            return Err(Diagnostic::error(
                span,
                format!("a value of {bytes} bytes is too large to be copied"),
            )
            .hint("keep a pointer to it, or one of its fields"));
        }
        let mut left = MAX_FIELDS;
        let layout = self.layout_of(ty, 0, &mut left);
        Ok(Ty::Mem(Arc::new(MemTy {
            ty: ty.clone(),
            bytes,
            layout,
        })))
    }

    fn layout_of(&self, ty: &Ty, depth: u32, left: &mut usize) -> Layout {
        if depth > 12 || *left == 0 {
            return Layout::Opaque;
        }
        *left -= 1;
        match ty {
            Ty::Int { bytes, signed } => Layout::Int {
                bytes: *bytes,
                signed: *signed,
            },
            Ty::Bool => Layout::Bool,
            Ty::Enum(e) => Layout::Enum(e.clone()),
            Ty::Ptr(..) => Layout::Ptr,
            Ty::Array(elem, n, _) if **elem == Ty::CHAR => Layout::Text(*n),
            Ty::Array(elem, n, _) => Layout::Array {
                count: *n,
                stride: self.memory_layout(elem).0,
                of: Box::new(self.layout_of(elem, depth + 1, left)),
            },
            Ty::Struct(StructRef::Declared(n), _) => {
                let Some(s) = self.declared.structs.get(*n) else {
                    return Layout::Opaque;
                };
                let fields = s.fields.iter().map(|f| LayoutField {
                    name: f.name.clone(),
                    offset: f.offset,
                    bits: f.bits,
                    layout: self.layout_of(&f.ty, depth + 1, left),
                });
                Layout::Struct(fields.collect())
            }
            Ty::Struct(StructRef::Btf(id), space) => {
                let Some(btf) = self.env.types() else {
                    return Layout::Opaque;
                };
                let Some(Type::Struct(c) | Type::Union(c)) = btf.resolved(*id) else {
                    return Layout::Opaque;
                };
                let mut fields = Vec::new();
                for m in c.members.iter() {
                    let offset = m.bit_offset / 8;
                    let member = btf_type(btf, m.ty, *space, 0);
                    fields.push(LayoutField {
                        name: m.name.to_owned(),
                        offset,
                        bits: (m.bitfield_size > 0).then_some((m.bit_offset % 8, m.bitfield_size)),
                        layout: self.layout_of(&member, depth + 1, left),
                    });
                }
                Layout::Struct(fields)
            }
            _ => Layout::Opaque,
        }
    }

    /// A part of a value held by value: a number of it, or a smaller structure or array.
    pub(super) fn mem_part(
        &self,
        of: Expr,
        offset: u64,
        bits: Option<(u32, u32)>,
        ty: Ty,
        span: Span,
    ) -> Checked<Expr> {
        let outside = || Diagnostic::error(span, "this is outside of the value");
        let offset = u32::try_from(offset).map_err(|_| outside())?;
        let (width, _) = self.memory_layout(&ty);
        let Ty::Mem(whole) = &of.ty else {
            return Err(outside());
        };
        let room = whole.bytes;
        if let Some((start, width)) = bits {
            let need = (start + width).div_ceil(8);
            let bytes = [1u8, 2, 4, 8]
                .into_iter()
                .find(|b| u32::from(*b) >= need && offset.is_multiple_of(u32::from(*b)))
                .or([1u8, 2, 4, 8].into_iter().find(|b| u32::from(*b) >= need))
                .unwrap_or(8);
            let signed = ty.is_signed();
            let word = self.mem_number(of, offset, bytes, false, Ty::U64, span);
            return Ok(bit_field(word, start, width, signed, ty, span));
        }
        match &ty {
            Ty::Struct(..) | Ty::Array(..) => {
                if offset.saturating_add(width) > room {
                    return Err(outside());
                }
                let ty = self.mem_type(&ty, span)?;
                let (of, offset) = match of.kind {
                    ExprKind::Slice {
                        of,
                        offset: further,
                    } => (of, further + offset),
                    kind => (Box::new(Expr { kind, ..of }), offset),
                };
                Ok(Expr::new(ExprKind::Slice { of, offset }, ty, span))
            }
            _ => {
                let bytes = match &ty {
                    Ty::Int { bytes, .. } => *bytes,
                    Ty::Bool => 1,
                    Ty::Enum(_) => 4,
                    _ => 8,
                };
                if offset.saturating_add(u32::from(bytes)) > room {
                    return Err(outside());
                }
                let signed = ty.is_signed();
                Ok(self.mem_number(of, offset, bytes, signed, ty, span))
            }
        }
    }

    fn mem_number(
        &self,
        of: Expr,
        offset: u32,
        bytes: u8,
        signed: bool,
        ty: Ty,
        span: Span,
    ) -> Expr {
        let (of, offset) = match of.kind {
            ExprKind::Slice {
                of,
                offset: further,
            } => (of, further + offset),
            kind => (Box::new(Expr { kind, ..of }), offset),
        };
        Expr::new(
            ExprKind::Bytes {
                of,
                offset,
                bytes,
                signed,
            },
            ty,
            span,
        )
    }

    /// `value[index]` of an array held by value.
    pub(super) fn mem_element(&self, of: Expr, index: Expr, span: Span) -> Checked<Expr> {
        let Ty::Mem(m) = &of.ty else {
            return Err(Diagnostic::error(span, "this is no array"));
        };
        let Ty::Array(elem, count, _) = m.ty.clone() else {
            return Err(Diagnostic::error(
                span,
                format!("a value of type `{}` has no elements", of.ty),
            ));
        };
        let stride = self.memory_layout(&elem).0;
        if let Some(i) = index.constant() {
            if !(0..i64::from(count)).contains(&i) {
                return Err(Diagnostic::error(
                    span,
                    format!("the index {i} is out of bounds: the array has {count} elements"),
                ));
            }
            return self.mem_part(of, i as u64 * u64::from(stride), None, *elem, span);
        }
        let (Ok(bytes @ (1 | 2 | 4 | 8)), false) = (
            u8::try_from(stride),
            matches!(*elem, Ty::Struct(..) | Ty::Array(..)),
        ) else {
            return Err(Diagnostic::error(
                index.span,
                "elements that are no numbers need a constant index here",
            ));
        };
        let signed = elem.is_signed();
        Ok(Expr::new(
            ExprKind::Element {
                of: Box::new(of),
                index: Box::new(index),
                count,
                bytes,
                signed,
            },
            *elem,
            span,
        ))
    }

    /// Characters held by value as text.
    pub(super) fn mem_text(&self, e: Expr, n: u32) -> Expr {
        let span = e.span;
        Expr::new(
            ExprKind::ReadStr {
                addr: Box::new(Expr::new(
                    ExprKind::AddrOf(Box::new(e)),
                    Ty::ptr(Ty::CHAR, Space::Kernel),
                    span,
                )),
                space: Space::Kernel,
                len: None,
            },
            Ty::Str(n.max(1)),
            span,
        )
    }

    /// `(int8[4])number`: the number's bytes; `[]` takes as many elements as it has.
    pub(super) fn number_to_array(
        &self,
        value: Expr,
        elem: Ty,
        count: u32,
        space: Space,
        span: Span,
    ) -> Checked<Expr> {
        let stride = self.memory_layout(&elem).0.max(1);
        let own = match value.constant() {
            Some(v) if value.ty == Ty::I64 => literal_bytes(v),
            _ => u32::from(value.ty.int_bytes()),
        };
        let count = if count == 0 {
            (own / stride).max(1)
        } else {
            count
        };
        let bytes = count.saturating_mul(stride);
        if bytes > 8 || (value.constant().is_none() && bytes != own) {
            return Err(Diagnostic::error(
                span,
                format!(
                    "cannot cast from `{}` to `{elem}[{count}]`: {own} and {bytes} bytes",
                    value.ty
                ),
            ));
        }
        // Numbers, also where their type is that of characters.
        let mut left = MAX_FIELDS;
        let layout = Layout::Array {
            count,
            stride,
            of: Box::new(self.layout_of(&elem, 0, &mut left)),
        };
        let ty = Ty::Mem(Arc::new(MemTy {
            ty: Ty::Array(Box::new(elem), count, space),
            bytes,
            layout,
        }));
        let word = match value.constant() {
            Some(v) if bytes < 8 => Expr::int(v & ((1 << (bytes * 8)) - 1), Ty::U64, span),
            Some(_) => value,
            None if bytes < 8 => value.cast(bytes as u8, false),
            None => value,
        };
        Ok(Expr::new(ExprKind::Words(vec![word]), ty, span))
    }

    /// `(uint32)array`: its bytes as a number, when it has as many.
    pub(super) fn array_to_number(&self, value: &Expr, bytes: u8, signed: bool) -> Option<Expr> {
        let held = self.by_value(value.clone()).ok()?;
        match &held.ty {
            Ty::Mem(m) if m.bytes == u32::from(bytes) => Some(self.mem_number(
                held.clone(),
                0,
                bytes,
                signed,
                Ty::Int { bytes, signed },
                value.span,
            )),
            _ => None,
        }
    }
}

/// Bytes that a literal needs.
pub(super) fn literal_bytes(v: i64) -> u32 {
    match v {
        -0x80..=0x7f => 1,
        -0x8000..=0x7fff => 2,
        -0x8000_0000..=0x7fff_ffff => 4,
        _ => 8,
    }
}

/// The bits of a word.
pub(super) fn bit_field(
    word: Expr,
    start: u32,
    width: u32,
    signed: bool,
    ty: Ty,
    span: Span,
) -> Expr {
    let up = i64::from(64 - (start + width).min(64));
    let left = Expr::bin(Arith::Shl, word, Expr::int(up, Ty::I64, span), Ty::U64);
    let down = Expr::int(i64::from(64 - width.min(64)), Ty::I64, span);
    Expr::bin(Arith::Shr { signed }, left, down, ty)
}
