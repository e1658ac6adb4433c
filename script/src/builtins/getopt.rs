//! `getopt`: options of the script itself; `config`: its settings.

use super::{Row, Use};
use crate::diagnostics::Diagnostic;
use crate::hir::{Expr, ExprKind};
use crate::types::Ty;

pub const GETOPT: Row = Row {
    names: &["getopt"],
    kind: Use::Function { min: 1, max: 3 },
    syntax: "`getopt(\"NAME\")`, or `getopt(\"NAME\", DEFAULT, \"MEANING\")`",
    doc: "The value of an option given to the script after `--`; without a default, whether it was given.",
    example: "begin { if (getopt(\"long\")) { printf(\"%d\\n\", getopt(\"count\", 10, \"how many\")); } }",
    lower: |c, call| {
        let span = call.span;
        let name = c.text(&call.args[0])?;
        let meaning = match call.args.get(2) {
            Some(a) => c.text(a)?,
            None => String::new(),
        };
        match c.options.iter_mut().find(|(n, _)| *n == name) {
            Some((_, known)) if known.is_empty() => *known = meaning,
            Some(_) => {}
            None => c.options.push((name.clone(), meaning)),
        }
        let given = c.env.named.iter().rev().find(|(n, _)| *n == name);
        let default = match call.args.get(1) {
            Some(a) => c.expr(a)?,
            None => Expr::int(0, Ty::Bool, span),
        };
        if default.constant().is_none() && !matches!(default.kind, ExprKind::Str(_)) {
            return Err(Diagnostic::error(
                default.span,
                "a default must be a number, a text in quotes, true or false",
            ));
        }
        let Some((_, value)) = given else {
            return Ok(Expr { span, ..default });
        };
        let wrong = |wanted: &str| {
            Err(Diagnostic::error(
                span,
                format!(
                    "the option --{name} takes {wanted}, not `{}`",
                    value.as_deref().unwrap_or("")
                ),
            ))
        };
        match (&default.kind, &default.ty, value.as_deref()) {
            (ExprKind::Str(_), _, Some(text)) => {
                Ok(crate::check::literal(text.as_bytes().to_vec(), span))
            }
            (ExprKind::Str(_), ..) => wrong("a text"),
            (_, Ty::Bool, None) => Ok(Expr::int(1, Ty::Bool, span)),
            (_, Ty::Bool, Some(text)) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Ok(Expr::int(1, Ty::Bool, span)),
                "false" | "0" => Ok(Expr::int(0, Ty::Bool, span)),
                _ => wrong("true or false"),
            },
            (.., text) => match text.and_then(crate::lexer::integer) {
                Some(v) => Ok(Expr::int(v, Ty::I64, span)),
                None => wrong("a number"),
            },
        }
    },
};

pub const CONFIG: Row = Row {
    names: &["config"],
    kind: Use::Value,
    syntax: "`config().NAME`",
    doc: "The script's settings.",
    example: "begin { printf(\"%d\\n\", config().max_strlen); }",
    lower: |c, call| {
        let s = &c.config;
        let numbers = [
            ("max_strlen", u64::from(s.max_strlen)),
            ("max_map_keys", u64::from(s.max_map_keys)),
            ("max_probes", u64::from(s.max_probes)),
            ("max_bpf_progs", u64::from(s.max_bpf_progs)),
            ("on_stack_limit", u64::from(s.on_stack_limit)),
            ("perf_rb_pages", u64::from(s.perf_rb_pages)),
        ];
        let mut items: Vec<Expr> = Vec::new();
        let mut types = Vec::new();
        for (name, value) in numbers {
            items.push(Expr::int(value as i64, Ty::U64, call.span));
            types.push((name.to_owned(), Ty::U64));
        }
        items.push(Expr::int(
            i64::from(s.print_maps_on_exit),
            Ty::Bool,
            call.span,
        ));
        types.push(("print_maps_on_exit".to_owned(), Ty::Bool));
        Ok(Expr::new(
            ExprKind::Tuple(items),
            Ty::Record(types),
            call.span,
        ))
    },
};
