//! `fentry:FUNCTION` and `fexit:FUNCTION`: kernel functions with their typed arguments.

use super::{Point, ProbeKind, Row, is_pattern, matches};
use crate::diagnostics::{Diagnostic, nearest};
use crate::env::Environment;

pub const FENTRY: Row = Row {
    names: &["fentry", "f", "kfunc"],
    syntax: "`fentry:FUNCTION` or `fentry:MODULE:FUNCTION`",
    doc: "A kernel function as it is entered; its arguments are `args.NAME`.",
    expand: |p, env| expand(p, env, false),
};

pub const FEXIT: Row = Row {
    names: &["fexit", "fr", "kretfunc"],
    syntax: "`fexit:FUNCTION` or `fexit:MODULE:FUNCTION`",
    doc: "A kernel function as it returns: its arguments are `args.NAME`, what it returns is `retval`.",
    expand: |p, env| expand(p, env, true),
};

fn expand(p: &Point<'_>, env: &Environment<'_>, ret: bool) -> Result<Vec<ProbeKind>, Diagnostic> {
    let name = match p.parts.as_slice() {
        [t] | [_, t] if !t.is_empty() => t.trim_matches('"'),
        ["bpf", ..] => {
            return Err(p.wrong("functions of loaded programs cannot be probed yet"));
        }
        _ => return Err(p.wrong("the name of a kernel function must follow")),
    };
    let kind = |function: &str| ProbeKind::Fentry {
        function: function.to_owned(),
        ret,
    };
    let Some(types) = &env.types else {
        return Err(Diagnostic::error(
            p.span,
            "the kernel's types (BTF) are not known here",
        ));
    };
    let typed = |n: &str| types.find_func(n).is_some();
    let known = env.functions.kernel();
    if is_pattern(name) {
        let mut found: Vec<&String> = known
            .iter()
            .filter(|n| matches(name, n) && typed(n))
            .collect();
        found.sort();
        found.dedup();
        if found.is_empty() {
            return Err(Diagnostic::error(
                p.span,
                format!("no kernel function matches {name}"),
            ));
        }
        return Ok(found.into_iter().map(|n| kind(n)).collect());
    }
    if !typed(name) {
        let d = Diagnostic::error(p.span, format!("kernel function not found: {name}"));
        return Err(match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => d.hint(format!("did you mean `{}:{near}`?", p.row.names[0])),
            None => d.hint("its types must be in the kernel's BTF"),
        });
    }
    Ok(vec![kind(name)])
}
