//! `typeinfo`, `comptime`, `is_ptr` and its kin: what is known of an expression before the script runs.

use super::{Call, Row, Use};
use crate::ast;
use crate::check::{Checked, Checker, known, literal, literal_type};
use crate::diagnostics::Diagnostic;
use crate::hir::{Expr, ExprKind};
use crate::types::{StructRef, Ty};

/// The kind of a type: what all integers, all pointers have in common.
fn kind(ty: &Ty) -> &'static str {
    match ty {
        Ty::Unknown => "none",
        Ty::Void => "void",
        Ty::Int { .. } | Ty::Word(_) => "int",
        Ty::Bool => "bool",
        Ty::Enum(_) => "enum",
        Ty::Str(_) | Ty::ProbeName => "string",
        Ty::Buf(_) => "buffer",
        Ty::Ptr(..) => "pointer",
        Ty::Struct(..) => "struct",
        Ty::Array(..) => "array",
        Ty::Tuple(_) => "tuple",
        Ty::Record(_) => "record",
        Ty::Mem(m) => kind(&m.ty),
        Ty::Stack(s) if s.kernel => "kstack",
        Ty::Stack(_) => "ustack",
        Ty::Ksym => "ksym",
        Ty::Usym => "usym",
        Ty::Inet => "inet",
        Ty::Mac => "mac_address",
        Ty::Timestamp(_) => "timestamp",
        Ty::Username => "username",
        Ty::CgroupPath => "cgroup_path",
        Ty::ProcessName => "process_name",
        Ty::Agg(a) => a.name(),
    }
}

/// The whole name of a type.
fn name(c: &Checker<'_>, ty: &Ty) -> String {
    match ty {
        Ty::Struct(StructRef::Btf(id), _) => {
            let name = c.env.types().map_or("", |t| t.name(*id));
            format!("struct {name}")
        }
        Ty::Struct(StructRef::Declared(n), _) => {
            let declared = c.declared.structs.get(*n);
            format!("struct {}", declared.map_or("", |d| d.name.as_str()))
        }
        Ty::Ptr(to, _) => format!("{} *", name(c, to)),
        Ty::Array(of, n, _) => format!("{}[{n}]", name(c, of)),
        other => other.to_string(),
    }
}

/// The type that an expression has as it is written.
fn type_of<'a>(c: &mut Checker<'a>, e: &'a ast::Expr) -> Checked<Ty> {
    match literal_type(c.as_written(e)) {
        Some(ty) => Ok(ty),
        None => c.type_or_value(e),
    }
}

pub const TYPEINFO: Row = Row {
    names: &["typeinfo"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`typeinfo(TYPE)`, or `typeinfo(VALUE)`",
    doc: "A tuple that describes a type: its number among the kernel's types or 0, its kind (`int`, `string`, `pointer` …) and its whole name.",
    example: "begin { print(typeinfo((uint8)5)); print(typeinfo(comm).1); }",
    lower: |c, call| {
        let span = call.span;
        let ty = type_of(c, &call.args[0])?;
        let id = match &ty {
            Ty::Struct(StructRef::Btf(id), _) => i64::from(id.0),
            _ => 0,
        };
        let name = name(c, &ty);
        let parts = vec![
            Expr::int(id, Ty::U64, span),
            literal(kind(&ty).into(), span),
            literal(name.into_bytes(), span),
        ];
        let types = parts.iter().map(|p| p.ty.clone()).collect();
        Ok(Expr::new(ExprKind::Tuple(parts), Ty::Tuple(types), span))
    },
};

pub const COMPTIME: Row = Row {
    names: &["comptime"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`comptime EXPRESSION`",
    doc: "The expression, which must be known before the script runs; of an `if` on it only the branch that is taken is compiled.",
    example: "begin { if comptime is_str(comm) { print(\"a text\"); } else { fail(\"no text\"); } }",
    lower: |c, call| {
        let e = &call.args[0];
        let v = c.expr(e)?;
        match v.kind {
            ExprKind::Int(_) | ExprKind::Str(_) => Ok(v),
            _ => match known(&v) {
                Some(n) => Ok(Expr::int(n, v.ty, call.span)),
                None => Err(
                    Diagnostic::error(e.span, "this is known only when the script runs").hint(
                        "`comptime` takes constants, `sizeof`, `typeinfo`, `is_ptr` and the like",
                    ),
                ),
            },
        }
    },
};

/// Answers every `is_…`, by its name.
fn is<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Checked<Expr> {
    let e = &call.args[0];
    let yes = match call.name {
        "is_literal" => literal_type(c.as_written(e)).is_some() || is_text(c.as_written(e)),
        asked => {
            let ty = type_of(c, e)?;
            match asked {
                "is_str" => kind(&ty) == "string",
                "is_ptr" => kind(&ty) == "pointer",
                "is_array" => kind(&ty) == "array",
                "is_integer" => kind(&ty) == "int",
                _ => matches!(ty, Ty::Int { signed: false, .. }),
            }
        }
    };
    Ok(Expr::int(i64::from(yes), Ty::Bool, call.span))
}

fn is_text(e: &ast::Expr) -> bool {
    matches!(e.kind, ast::ExprKind::Str(_) | ast::ExprKind::Bool(_))
}

pub const IS_STR: Row = Row {
    names: &["is_str"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`is_str(EXPRESSION)`",
    doc: "Whether an expression is a text.",
    example: "begin { print(is_str(comm)); }",
    lower: is,
};

pub const IS_PTR: Row = Row {
    names: &["is_ptr"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`is_ptr(EXPRESSION)`",
    doc: "Whether an expression is an address with a type.",
    example: "begin { print(is_ptr((uint64 *)0)); }",
    lower: is,
};

pub const IS_ARRAY: Row = Row {
    names: &["is_array"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`is_array(EXPRESSION)`",
    doc: "Whether an expression is an array.",
    example: "begin { print(is_array((uint8[8])0)); }",
    lower: is,
};

pub const IS_INTEGER: Row = Row {
    names: &["is_integer"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`is_integer(EXPRESSION)`",
    doc: "Whether an expression is an integer.",
    example: "begin { print(is_integer(pid)); }",
    lower: is,
};

pub const IS_UNSIGNED_INTEGER: Row = Row {
    names: &["is_unsigned_integer"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`is_unsigned_integer(EXPRESSION)`",
    doc: "Whether an expression is an integer without a sign.",
    example: "begin { print(is_unsigned_integer((uint8)1)); }",
    lower: is,
};

pub const IS_LITERAL: Row = Row {
    names: &["is_literal"],
    kind: Use::Function { min: 1, max: 1 },
    syntax: "`is_literal(EXPRESSION)`",
    doc: "Whether an expression is a number, a text or a truth value as it is written.",
    example: "begin { print(is_literal(5)); }",
    lower: is,
};
