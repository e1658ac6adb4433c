//! What an event brings: `args` and its members, read from the context.

use probity_btf::Type;

use super::named::{btf_type, in_space};
use super::{Checked, Checker};
use crate::diagnostics::{Diagnostic, nearest};
use crate::formats::FieldPlace;
use crate::hir::{Arith, Expr, ExprKind};
use crate::probes::ProbeKind;
use crate::source::Span;
use crate::types::{Space, Ty};

impl Checker<'_> {
    /// `args.name`.
    pub(super) fn args_field(&mut self, name: &str, span: Span) -> Checked<Expr> {
        match self.probe().clone() {
            ProbeKind::Tracepoint {
                category,
                name: event,
            } => self.tracepoint_field(&category, &event, name, span),
            ProbeKind::RawTracepoint { name: event } => {
                let (i, ty) = find(self.raw_params(&event, span)?, name, &event, span)?;
                Ok(ctx_word(i as i32 * 8, ty, span))
            }
            ProbeKind::Fentry { function, .. } => {
                let (params, _) = self.function_params(&function, span)?;
                let (i, ty) = find(params, name, &function, span)?;
                Ok(ctx_word(i as i32 * 8, ty, span))
            }
            ProbeKind::Kprobe { ret: true, .. } => {
                Err(Diagnostic::error(span, "a kretprobe has no `args`").hint("it has `retval`"))
            }
            ProbeKind::Kprobe { function, .. } => {
                let (params, _) = self.function_params(&function, span)?;
                let (i, ty) = find(params, name, &function, span)?;
                let offset = self.env.arch.argument(i as u32).ok_or_else(|| {
                    Diagnostic::error(span, format!("`{name}` is not passed in a register"))
                })?;
                Ok(ctx_word(offset, ty, span))
            }
            ProbeKind::Uprobe { .. } => self.user_argument(name, span),
            other => Err(Diagnostic::error(
                span,
                format!("`args` has no meaning in `{other}`"),
            )),
        }
    }

    /// `args` as a whole: a record of all that has a name.
    pub(crate) fn args_whole(&mut self, span: Span) -> Checked<Expr> {
        let names: Vec<String> = match self.probe().clone() {
            ProbeKind::Tracepoint { category, name } => {
                match self.env.tracepoints.format(&category, &name) {
                    Some(f) => f.own_fields().map(|f| f.name.clone()).collect(),
                    None => Vec::new(),
                }
            }
            ProbeKind::RawTracepoint { name } => names_of(self.raw_params(&name, span)?),
            ProbeKind::Kprobe {
                function,
                ret: false,
                ..
            }
            | ProbeKind::Fentry { function, .. } => {
                names_of(self.function_params(&function, span)?.0)
            }
            ProbeKind::Uprobe { .. } => {
                let params = self.user_params(span)?;
                params.iter().map(|p| p.name.clone()).collect()
            }
            other => {
                return Err(Diagnostic::error(
                    span,
                    format!("`args` has no meaning in `{other}`"),
                ));
            }
        };
        let (mut items, mut types) = (Vec::new(), Vec::new());
        for name in names.into_iter().filter(|n| !n.is_empty()) {
            let value = self.args_field(&name, span)?;
            let value = self.by_value(self.value_of(value))?;
            types.push((name, value.ty.clone()));
            items.push(value);
        }
        if items.is_empty() {
            return Err(Diagnostic::error(span, "there is nothing in `args` here"));
        }
        Ok(Expr::new(ExprKind::Tuple(items), Ty::Record(types), span))
    }

    pub(crate) fn function_params(
        &self,
        function: &str,
        span: Span,
    ) -> Checked<(Vec<(String, Ty)>, Ty)> {
        let btf = self.env.types().ok_or_else(|| {
            Diagnostic::error(span, "the kernel's types (BTF) are not known here")
        })?;
        let proto = btf
            .find_func(function)
            .and_then(|f| btf.proto(f))
            .and_then(|p| btf.ty(p));
        let Some(Type::FuncProto { ret, params }) = proto else {
            return Err(Diagnostic::error(
                span,
                format!("the types of {function}'s arguments are not known"),
            ));
        };
        let list = params
            .iter()
            .map(|p| (p.name.to_owned(), btf_type(btf, p.ty, Space::Kernel, 0)))
            .collect();
        Ok((list, btf_type(btf, ret, Space::Kernel, 0)))
    }

    /// The arguments of a raw tracepoint, from the type of its trace functions.
    fn raw_params(&self, event: &str, span: Span) -> Checked<Vec<(String, Ty)>> {
        let btf = self.env.types().ok_or_else(|| {
            Diagnostic::error(span, "the kernel's types (BTF) are not known here")
        })?;
        let proto = btf
            .find_typedef(&format!("btf_trace_{event}"))
            .and_then(|t| btf.proto(t))
            .and_then(|p| btf.ty(p));
        let Some(Type::FuncProto { params, .. }) = proto else {
            return Err(Diagnostic::error(
                span,
                format!("the types of {event}'s arguments are not known"),
            ));
        };
        // The names are in the function that calls them; the prototype itself has none on most kernels.
        let named = btf
            .find_func(&format!("__bpf_trace_{event}"))
            .or_else(|| btf.find_func(&format!("__traceiter_{event}")))
            .and_then(|f| btf.proto(f))
            .and_then(|p| btf.ty(p));
        let names: Vec<String> = match named {
            Some(Type::FuncProto { params, .. }) => {
                params.iter().skip(1).map(|p| p.name.to_owned()).collect()
            }
            _ => Vec::new(),
        };
        Ok(params
            .iter()
            .skip(1)
            .enumerate()
            .map(|(i, p)| {
                let name = if p.name.is_empty() {
                    names.get(i).cloned().unwrap_or_default()
                } else {
                    p.name.to_owned()
                };
                (name, btf_type(btf, p.ty, Space::Kernel, 0))
            })
            .collect())
    }

    fn tracepoint_field(
        &mut self,
        category: &str,
        event: &str,
        name: &str,
        span: Span,
    ) -> Checked<Expr> {
        let format = self
            .env
            .tracepoints
            .format(category, event)
            .ok_or_else(|| {
                Diagnostic::error(
                    span,
                    format!("the format of {category}:{event} is not known"),
                )
            })?;
        let Some(f) = format.field(name) else {
            let known: Vec<&str> = format.own_fields().map(|f| f.name.as_str()).collect();
            let d = Diagnostic::error(
                span,
                format!("tracepoint {category}:{event} has no field `{name}`"),
            );
            return Err(match nearest(name, known.iter().copied()) {
                Some(near) => d.hint(format!("did you mean `args.{near}`?")),
                None => d.hint(format!("its fields are: {}", known.join(", "))),
            });
        };
        let offset = i32::try_from(f.offset)
            .map_err(|_| Diagnostic::error(span, "the field is too far away"))?;
        if f.place != FieldPlace::Inline {
            return Ok(self.located(offset, f.place, f.type_text.contains("char"), span));
        }
        let base_text = f.type_text.split('[').next().unwrap_or("").trim();
        if let Some(n) = f.elements {
            let each = f.size.checked_div(n).unwrap_or(0);
            let elem = match (base_text, each) {
                ("char", 1) => Ty::CHAR,
                (text, 8) if text.contains('*') => {
                    self.c_type(text, self.space()).unwrap_or(Ty::U64)
                }
                (_, 1 | 2 | 4 | 8) => Ty::Int {
                    bytes: each as u8,
                    signed: f.signed,
                },
                _ => {
                    return Err(Diagnostic::error(
                        span,
                        format!("fields of type `{}` cannot be read", f.type_text),
                    ));
                }
            };
            return Ok(Expr::new(
                ExprKind::Ctx(offset),
                Ty::Array(Box::new(elem), n, Space::Kernel),
                span,
            ));
        }
        let ty = if base_text.contains('*') {
            self.c_type(base_text, self.space())
                .unwrap_or(Ty::ptr(Ty::Void, self.space()))
        } else {
            let plain = match f.size {
                1 | 2 | 4 | 8 => Ty::Int {
                    bytes: f.size as u8,
                    signed: f.signed,
                },
                // A structure inside the record.
                _ => match self.c_type(base_text, Space::Kernel) {
                    Some(t @ Ty::Struct(..)) => {
                        return Ok(Expr::new(
                            ExprKind::Ctx(offset),
                            in_space(t, Space::Kernel),
                            span,
                        ));
                    }
                    _ => {
                        return Err(Diagnostic::error(
                            span,
                            format!("fields of type `{}` cannot be read", f.type_text),
                        ));
                    }
                },
            };
            match self.lookup_type(base_text) {
                Some(t @ Ty::Enum(_)) if f.size == 4 => t,
                Some(Ty::Bool) => Ty::Bool,
                _ => plain,
            }
        };
        let bytes = match &ty {
            Ty::Int { bytes, .. } => *bytes,
            Ty::Bool => 1,
            Ty::Enum(_) => 4,
            _ => 8,
        };
        let signed = ty.is_signed();
        Ok(Expr::new(
            ExprKind::CtxLoad {
                offset,
                bytes,
                signed,
            },
            ty,
            span,
        ))
    }

    /// A field whose place is in the record: `__data_loc`.
    fn located(&mut self, offset: i32, place: FieldPlace, text: bool, span: Span) -> Expr {
        let word = Expr::new(
            ExprKind::CtxLoad {
                offset,
                bytes: 4,
                signed: false,
            },
            Ty::U64,
            span,
        );
        let at = Expr::bin(Arith::And, word, Expr::int(0xffff, Ty::I64, span), Ty::U64);
        let from = match place {
            FieldPlace::RelLoc => offset + 4,
            _ => 0,
        };
        let base = Expr::new(ExprKind::Ctx(from), Ty::U64, span);
        let addr = Expr::bin(Arith::Add, base, at, Ty::U64);
        if !text {
            return Expr::new(addr.kind, Ty::ptr(Ty::U8, Space::Kernel), span);
        }
        Expr::new(
            ExprKind::ReadStr {
                addr: Box::new(addr),
                space: Space::Kernel,
                len: None,
            },
            Ty::Str(self.config.max_strlen),
            span,
        )
    }
}

/// The argument of that name among those `of` an event: its number and type.
fn find(params: Vec<(String, Ty)>, name: &str, of: &str, span: Span) -> Checked<(usize, Ty)> {
    match params.iter().position(|(n, _)| n == name) {
        Some(i) => Ok((i, params[i].1.clone())),
        None => Err(
            Diagnostic::error(span, format!("{of} has no argument `{name}`"))
                .suggest_of(name, params.iter().map(|(n, _)| n.as_str())),
        ),
    }
}

fn names_of(params: Vec<(String, Ty)>) -> Vec<String> {
    params.into_iter().map(|(name, _)| name).collect()
}

/// A 64-bit word of the context, seen as a type.
pub(crate) fn ctx_word(offset: i32, ty: Ty, span: Span) -> Expr {
    let load = Expr::new(
        ExprKind::CtxLoad {
            offset,
            bytes: 8,
            signed: false,
        },
        Ty::U64,
        span,
    );
    match ty {
        Ty::Int { bytes, signed } if bytes < 8 => load.cast(bytes, signed),
        Ty::Enum(_) => Expr {
            ty,
            ..load.cast(4, true)
        },
        Ty::Bool => Expr {
            ty,
            ..load.cast(1, false)
        },
        Ty::Void => load,
        ty => Expr { ty, ..load },
    }
}
