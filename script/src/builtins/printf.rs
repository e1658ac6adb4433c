//! `printf`, `errorf`, `warnf`, `cat`, `system`: formatted text.

use super::{Call, Row, Use};
use crate::check::{Checked, Checker};
use crate::diagnostics::Diagnostic;
use crate::event::{Event, MessageKind};
use crate::hir::{Expr, ExprKind, Stmt, StmtKind};
use crate::source::Span;
use crate::spec::Format;
use crate::types::Ty;

fn formatted<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Checked<(Format, Vec<Expr>)> {
    let first = c.expr(&call.args[0])?;
    let ExprKind::Str(text) = &first.kind else {
        return Err(Diagnostic::error(
            call.args[0].span,
            "the format must be a text in quotes",
        ));
    };
    let format = Format::parse(text).map_err(|why| Diagnostic::error(call.args[0].span, why))?;
    let args = call.args[1..]
        .iter()
        .map(|a| c.storable(a))
        .collect::<Checked<Vec<_>>>()?;
    let types: Vec<Ty> = args.iter().map(|a| a.ty.clone()).collect();
    format.check(&types).map_err(|why| {
        let hint = match why.contains("cannot print") {
            true => "numbers are printed by `%d`, `%u`, `%x`, texts by `%s`, addresses of texts by `str(…)` with `%s`",
            false => "each conversion (`%d`, `%s` …) takes one argument; `%%` prints a `%`",
        };
        Diagnostic::error(call.span, why).hint(hint)
    })?;
    Ok((format, args))
}

/// A record of `event` as an expression without a value.
pub(crate) fn emit(c: &mut Checker<'_>, call: &Call<'_>, event: Event, args: Vec<Expr>) -> Expr {
    let event = c.event(event);
    let stmt = Stmt {
        kind: StmtKind::Emit { event, args },
        span: call.span,
    };
    Expr::new(ExprKind::Do(vec![stmt]), Ty::Void, call.span)
}

fn types(args: &[Expr]) -> Vec<Ty> {
    args.iter().map(|a| a.ty.clone()).collect()
}

/// A message with its place in the script, and the calls of macros that led there.
fn message_event(
    c: &Checker<'_>,
    kind: MessageKind,
    format: Format,
    args: &[Expr],
    span: Span,
) -> Event {
    let source = &c.ast.source;
    let at = |span: Span| {
        let (start, end) = (source.position(span.start), source.position(span.end));
        let line = source.line_at(span.start);
        let width = end.column.saturating_sub(start.column).max(1) as usize;
        let place = format!(
            "{}:{}:{}-{}",
            source.file(span.start),
            start.line,
            start.column,
            end.column
        );
        let blanks = " ".repeat(start.column as usize - 1);
        (
            start,
            place,
            format!("{line}\n{blanks}{}", "~".repeat(width)),
        )
    };
    let (start, place, mut excerpt) = at(span);
    let word = if kind == MessageKind::Error {
        "ERROR"
    } else {
        "WARNING"
    };
    for call in c.macro_calls.iter().rev() {
        let (_, place, lines) = at(*call);
        excerpt.push_str(&format!("\n{place}: {word}: expanded from\n{lines}"));
    }
    Event::Message {
        kind,
        format,
        args: types(args),
        place,
        json: (source.name.to_string(), start.line, start.column),
        excerpt,
    }
}

/// What is said when something goes wrong while the script runs.
pub(crate) fn runtime_message(
    c: &mut Checker<'_>,
    kind: MessageKind,
    text: &str,
    span: Span,
) -> Stmt {
    let format = Format {
        parts: vec![crate::spec::Part::Text(text.as_bytes().to_vec())],
    };
    let event = message_event(c, kind, format, &[], span);
    let event = c.event(event);
    Stmt {
        kind: StmtKind::Emit {
            event,
            args: Vec::new(),
        },
        span,
    }
}

fn message<'a>(c: &mut Checker<'a>, call: &Call<'a>, kind: MessageKind) -> Checked<Expr> {
    let (format, args) = formatted(c, call)?;
    let event = message_event(c, kind, format, &args, call.span);
    Ok(emit(c, call, event, args))
}

pub const PRINTF: Row = Row {
    names: &["printf"],
    kind: Use::Function {
        min: 1,
        max: usize::MAX,
    },
    syntax: "`printf(\"FORMAT\", …)`",
    doc: "Prints formatted text.",
    example: "begin { printf(\"%s %d\\n\", comm, pid); }",
    lower: |c, call| {
        let (format, args) = formatted(c, call)?;
        let types = types(&args);
        Ok(emit(
            c,
            call,
            Event::Printf {
                format,
                args: types,
            },
            args,
        ))
    },
};

pub const ERRORF: Row = Row {
    names: &["errorf"],
    kind: Use::Function {
        min: 1,
        max: usize::MAX,
    },
    syntax: "`errorf(\"FORMAT\", …)`",
    doc: "Prints an error message with its place in the script.",
    example: "begin { errorf(\"bad %d\", 1); }",
    lower: |c, call| message(c, call, MessageKind::Error),
};

pub const WARNF: Row = Row {
    names: &["warnf"],
    kind: Use::Function {
        min: 1,
        max: usize::MAX,
    },
    syntax: "`warnf(\"FORMAT\", …)`",
    doc: "Prints a warning with its place in the script.",
    example: "begin { warnf(\"odd %d\", 1); }",
    lower: |c, call| message(c, call, MessageKind::Warning),
};

pub const CAT: Row = Row {
    names: &["cat"],
    kind: Use::Function {
        min: 1,
        max: usize::MAX,
    },
    syntax: "`cat(\"FORMAT\", …)`",
    doc: "Prints a file.",
    example: "begin { cat(\"/proc/loadavg\"); }",
    lower: |c, call| {
        let (format, args) = formatted(c, call)?;
        let types = types(&args);
        Ok(emit(
            c,
            call,
            Event::Cat {
                format,
                args: types,
            },
            args,
        ))
    },
};

pub const SYSTEM: Row = Row {
    names: &["system"],
    kind: Use::Function {
        min: 1,
        max: usize::MAX,
    },
    syntax: "`system(\"FORMAT\", …)`",
    doc: "Runs a command of the shell (with --unsafe).",
    example: "begin { system(\"echo %d\", 1); }",
    lower: |c, call| {
        // While a script is recorded no command is run.
        if c.env.record.is_none() {
            super::act::needs_unsafe(c, call)?;
        }
        let (format, args) = formatted(c, call)?;
        let types = types(&args);
        Ok(emit(
            c,
            call,
            Event::System {
                format,
                args: types,
            },
            args,
        ))
    },
};
