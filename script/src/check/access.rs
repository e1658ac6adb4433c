//! Fields, elements and what pointers point to: reads of memory that events lead to.

use probity_btf::{Type, TypeId};

use super::named::{btf_type, in_space};
use super::{Checked, Checker};
use crate::diagnostics::Diagnostic;
use crate::hir::{Arith, Expr, ExprKind};
use crate::source::Span;
use crate::types::{Space, StructRef, Ty};

/// A member found in a structure.
struct Member {
    ty: Ty,
    offset: u64,
    /// First bit within the byte at `offset` and width.
    bits: Option<(u32, u32)>,
}

impl Checker<'_> {
    /// `base.name`; pointers are followed.
    pub(crate) fn field(&mut self, base: Expr, name: &str, span: Span) -> Checked<Expr> {
        match base.ty.clone() {
            Ty::Unknown => Ok(Expr::new(base.kind, Ty::Unknown, span)),
            Ty::Record(fields) => {
                let mut offset = 0;
                for (n, ty) in &fields {
                    if n == name {
                        return Ok(self.part(base, offset, ty.clone(), span));
                    }
                    offset += ty.stored();
                }
                Err(
                    Diagnostic::error(span, format!("the record has no field `{name}`"))
                        .suggest(name, fields.iter().map(|(n, _)| n.as_str())),
                )
            }
            Ty::Ptr(to, space) => match *to {
                Ty::Struct(s, inner) => {
                    let space = if inner == Space::Unknown {
                        space
                    } else {
                        inner
                    };
                    self.member(base, s, self.known_space(space), name, span)
                }
                Ty::Ptr(..) => Err(Diagnostic::error(span, "this is a pointer to a pointer")
                    .hint("follow it once with `*`")),
                other => Err(Diagnostic::error(
                    span,
                    format!("`{name}` is asked of a pointer to `{other}`, which has no fields"),
                )
                .hint("cast it to the structure: `((struct name *)…)`")),
            },
            Ty::Struct(s, space) => self.member(base, s, self.known_space(space), name, span),
            Ty::Mem(held) if matches!(held.ty, Ty::Struct(..)) => {
                let Ty::Struct(s, space) = held.ty else {
                    return Ok(base);
                };
                let m = self.find_member(s, self.known_space(space), name, span)?;
                self.mem_part(base, m.offset, m.bits, m.ty, span)
            }
            other => {
                let d = Diagnostic::error(
                    span,
                    format!("a value of type `{other}` has no field `{name}`"),
                );
                Err(if other.is_number() {
                    d.hint("cast it to a pointer to the structure: `((struct name *)…)`")
                } else {
                    d
                })
            }
        }
    }

    /// Addresses of no known origin are taken as the probe's.
    pub(crate) fn known_space(&self, space: Space) -> Space {
        if space == Space::Unknown {
            self.space()
        } else {
            space
        }
    }

    pub(super) fn part(&self, of: Expr, offset: u32, ty: Ty, span: Span) -> Expr {
        Expr::new(
            ExprKind::Part {
                of: Box::new(of),
                offset,
            },
            ty,
            span,
        )
    }

    fn member(
        &mut self,
        base: Expr,
        s: StructRef,
        space: Space,
        name: &str,
        span: Span,
    ) -> Checked<Expr> {
        let m = self.find_member(s, space, name, span)?;
        let Ok(offset) = i64::try_from(m.offset) else {
            return Err(Diagnostic::error(span, "the field is too far away"));
        };
        if let ExprKind::Ctx(at) = base.kind {
            let at = i64::from(at) + offset;
            let number = match &m.ty {
                Ty::Int { bytes, signed } => Some((*bytes, *signed)),
                Ty::Ptr(..) => Some((8, false)),
                _ => None,
            };
            if let (Some((bytes, signed)), Ok(at), None) = (number, i32::try_from(at), m.bits) {
                return Ok(Expr::new(
                    ExprKind::CtxLoad {
                        offset: at,
                        bytes,
                        signed,
                    },
                    m.ty,
                    span,
                ));
            }
        }
        let addr = add(base, offset, span);
        let Some((start, width)) = m.bits else {
            return Ok(self.load(addr, m.ty, space, span));
        };
        // The whole bytes that hold the bit field, then its bits of them.
        let bytes = (start + width).div_ceil(8);
        let bytes = [1u8, 2, 4, 8]
            .into_iter()
            .find(|b| u32::from(*b) >= bytes)
            .unwrap_or(8);
        let word = Expr::new(
            ExprKind::Read {
                addr: Box::new(addr),
                bytes,
                signed: false,
                space,
            },
            Ty::U64,
            span,
        );
        let signed = m.ty.is_signed();
        Ok(super::mem::bit_field(
            word, start, width, signed, m.ty, span,
        ))
    }

    fn find_member(&self, s: StructRef, space: Space, name: &str, span: Span) -> Checked<Member> {
        match s {
            StructRef::Declared(n) => match self.declared_member(n, name, 0) {
                Some((ty, offset, bits)) => Ok(Member {
                    ty: in_space(ty, space),
                    offset,
                    bits,
                }),
                None => {
                    let known = self.declared.structs.get(n);
                    let fields =
                        known.map(|s| s.fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>());
                    Err(Diagnostic::error(
                        span,
                        format!(
                            "struct {} has no field `{name}`",
                            known.map_or("", |s| s.name.as_str())
                        ),
                    )
                    .suggest(name, fields.unwrap_or_default()))
                }
            },
            StructRef::Btf(id) => {
                let btf = self.env.types().ok_or_else(|| {
                    Diagnostic::error(span, "the kernel's types (BTF) are not known here")
                })?;
                let Some((_, f)) = btf.member(id, name) else {
                    let mut names = Vec::new();
                    self.member_names(id, 0, &mut names);
                    let d = Diagnostic::error(
                        span,
                        format!("{} has no field `{name}`", btf.type_name(id)),
                    );
                    return Err(d.suggest(name, names.iter().map(String::as_str)));
                };
                let ty = btf_type(btf, f.ty, space, 0);
                Ok(Member {
                    ty,
                    offset: f.byte_offset(),
                    bits: f
                        .bitfield
                        .then_some(((f.bit_offset % 8) as u32, f.bit_size as u32)),
                })
            }
        }
    }

    fn declared_member(
        &self,
        n: usize,
        name: &str,
        depth: u32,
    ) -> Option<(Ty, u64, Option<(u32, u32)>)> {
        if depth > 16 {
            return None;
        }
        for f in &self.declared.structs.get(n)?.fields {
            if f.name == name && !name.is_empty() {
                return Some((f.ty.clone(), u64::from(f.offset), f.bits));
            }
            if f.name.is_empty()
                && let Ty::Struct(StructRef::Declared(inner), _) = f.ty
                && let Some((ty, offset, bits)) = self.declared_member(inner, name, depth + 1)
            {
                return Some((ty, offset + u64::from(f.offset), bits));
            }
        }
        None
    }

    fn member_names(&self, id: TypeId, depth: u32, out: &mut Vec<String>) {
        let Some(btf) = self.env.types() else { return };
        if depth > 8 || out.len() > 2000 {
            return;
        }
        if let Some(Type::Struct(c) | Type::Union(c)) = btf.resolved(id) {
            for m in c.members.iter() {
                if m.name.is_empty() {
                    self.member_names(m.ty, depth + 1, out);
                } else {
                    out.push(m.name.to_owned());
                }
            }
        }
    }

    /// Where a field is, for `offsetof`.
    pub(crate) fn offset_of(&mut self, ty: &Ty, path: &[String], span: Span) -> Checked<u64> {
        let mut ty = ty.clone();
        let mut at = 0u64;
        for name in path {
            let Ty::Struct(s, space) = ty else {
                return Err(Diagnostic::error(
                    span,
                    format!("`{ty}` has no field `{name}`"),
                ));
            };
            let m = self.find_member(s, space, name, span)?;
            at = at.saturating_add(m.offset);
            ty = m.ty;
        }
        Ok(at)
    }

    /// The value at an address: a number is read, structures and arrays stay addresses.
    pub(super) fn load(&self, addr: Expr, ty: Ty, space: Space, span: Span) -> Expr {
        match &ty {
            Ty::Struct(..) | Ty::Array(..) => Expr::new(addr.kind, ty, span),
            // What the address of a variable leads to lies as variables do.
            t if !t.is_scalar() && *t != Ty::Void => Expr::new(
                ExprKind::ReadMem {
                    addr: Box::new(addr),
                    space,
                },
                ty,
                span,
            ),
            _ => {
                let bytes = match &ty {
                    Ty::Int { bytes, .. } => *bytes,
                    Ty::Bool => 1,
                    Ty::Enum(_) => 4,
                    _ => 8,
                };
                let signed = ty.is_signed();
                Expr::new(
                    ExprKind::Read {
                        addr: Box::new(addr),
                        bytes,
                        signed,
                        space,
                    },
                    ty,
                    span,
                )
            }
        }
    }

    /// `*e`.
    pub(super) fn deref(&mut self, e: Expr, span: Span) -> Checked<Expr> {
        match e.ty.clone() {
            Ty::Unknown => Ok(e),
            Ty::Ptr(to, space) if *to != Ty::Void => {
                let space = self.known_space(space);
                Ok(self.load(e, in_space(*to, space), space, span))
            }
            Ty::Array(elem, _, space) => {
                let space = self.known_space(space);
                Ok(self.load(e, *elem, space, span))
            }
            // A number is taken as the address of a 64-bit word, in the kernel or not by its sign.
            Ty::Int { .. } => Ok(self.load(e, Ty::U64, Space::Unknown, span)),
            Ty::Ptr(..) => Ok(self.load(e, Ty::U64, self.known_space(Space::Unknown), span)),
            other => Err(Diagnostic::error(
                span,
                format!("a value of type `{other}` is not an address"),
            )),
        }
    }

    /// `base[index]`.
    pub(super) fn element(&mut self, base: Expr, index: Expr, span: Span) -> Checked<Expr> {
        let (elem, space) = match base.ty.clone() {
            Ty::Unknown => return Ok(base),
            Ty::Tuple(items) => {
                let n = index.constant().ok_or_else(|| {
                    Diagnostic::error(index.span, "a tuple's index must be a constant")
                })?;
                return self.tuple_item(base, &items, n as u64, span);
            }
            Ty::Mem(_) => return self.mem_element(base, index, span),
            Ty::Str(_) => {
                return Ok(Expr::new(
                    ExprKind::CharAt {
                        of: Box::new(base),
                        index: Box::new(index),
                    },
                    Ty::CHAR,
                    span,
                ));
            }
            Ty::Array(elem, n, space) => {
                if let Some(i) = index.constant()
                    && n > 0
                    && !(0..i64::from(n)).contains(&i)
                {
                    return Err(Diagnostic::error(
                        span,
                        format!("the index {i} is out of bounds: the array has {n} elements"),
                    ));
                }
                (*elem, space)
            }
            Ty::Ptr(to, space) if *to != Ty::Void => (*to, space),
            other => {
                return Err(Diagnostic::error(
                    span,
                    format!("a value of type `{other}` has no elements"),
                ));
            }
        };
        let size = i64::from(self.memory_layout(&elem).0);
        if let (ExprKind::Ctx(at), Some(i)) = (&base.kind, index.constant()) {
            let offset = i64::from(*at) + i * size;
            if let (Ty::Int { bytes, signed }, Ok(offset)) = (&elem, i32::try_from(offset)) {
                return Ok(Expr::new(
                    ExprKind::CtxLoad {
                        offset,
                        bytes: *bytes,
                        signed: *signed,
                    },
                    elem,
                    span,
                ));
            }
        }
        let space = if matches!(base.kind, ExprKind::Ctx(_)) {
            Space::Kernel
        } else {
            self.known_space(space)
        };
        let addr = match index.constant().and_then(|i| i.checked_mul(size)) {
            Some(by) => add(base, by, span),
            None => {
                let by = Expr::bin(Arith::Mul, index, Expr::int(size, Ty::I64, span), Ty::I64);
                Expr::bin(Arith::Add, base, by, Ty::U64)
            }
        };
        Ok(self.load(addr, in_space(elem, space), space, span))
    }

    pub(super) fn tuple_item(
        &mut self,
        base: Expr,
        items: &[Ty],
        n: u64,
        span: Span,
    ) -> Checked<Expr> {
        let Some(ty) = usize::try_from(n).ok().and_then(|n| items.get(n)) else {
            return Err(Diagnostic::error(
                span,
                format!("the tuple has {} items, there is no .{n}", items.len()),
            ));
        };
        let offset = items[..n as usize].iter().map(Ty::stored).sum();
        Ok(self.part(base, offset, ty.clone(), span))
    }
}

fn add(base: Expr, by: i64, span: Span) -> Expr {
    if by == 0 {
        return Expr { span, ..base };
    }
    if let ExprKind::Ctx(at) = base.kind
        && let Ok(sum) = i32::try_from(i64::from(at) + by)
    {
        return Expr::new(ExprKind::Ctx(sum), base.ty, span);
    }
    Expr::bin(Arith::Add, base, Expr::int(by, Ty::I64, span), Ty::U64)
}
