//! `uprobe:FILE:FUNCTION` and `uretprobe:FILE:FUNCTION`: functions of programs and libraries.

use super::{Point, ProbeKind, Row, UserTarget, is_pattern, matches, number, split_offset};
use crate::diagnostics::{Diagnostic, nearest};
use crate::env::Environment;

pub const UPROBE: Row = Row {
    names: &["uprobe", "u"],
    syntax: "`uprobe:FILE:FUNCTION`, `uprobe:FILE:FUNCTION+OFFSET` or `uprobe:FILE:0xADDRESS`",
    doc: "A function of a program or library as it is entered; its arguments are `arg0` …",
    expand: |p, env| expand(p, env, false),
};

pub const URETPROBE: Row = Row {
    names: &["uretprobe", "ur"],
    syntax: "`uretprobe:FILE:FUNCTION`",
    doc: "A function of a program or library as it returns `retval`.",
    expand: |p, env| expand(p, env, true),
};

fn expand(p: &Point<'_>, env: &Environment<'_>, ret: bool) -> Result<Vec<ProbeKind>, Diagnostic> {
    let (file, target) = match p.parts.as_slice() {
        [file, target] | [file, _, target] if !file.is_empty() && !target.is_empty() => {
            (*file, *target)
        }
        _ => return Err(p.wrong("a file and a function must follow")),
    };
    let path = env
        .functions
        .resolve(file)
        .ok_or_else(|| Diagnostic::error(p.span, format!("no program or library `{file}` here")))?;
    let target = target.trim_matches('"');
    let kind = |target: UserTarget, offset: u64| ProbeKind::Uprobe {
        path: path.clone(),
        target,
        offset,
        ret,
    };
    if target.starts_with(|c: char| c.is_ascii_digit()) {
        let address =
            number(target).ok_or_else(|| p.wrong(format_args!("`{target}` is not an address")))?;
        return Ok(vec![kind(UserTarget::Address(address), 0)]);
    }
    let (name, offset) =
        split_offset(target).ok_or_else(|| p.wrong("the offset is not a number"))?;
    let known = env.functions.user(&path);
    if is_pattern(name) {
        let mut found: Vec<&String> = known.iter().filter(|n| matches(name, n)).collect();
        found.sort();
        found.dedup();
        if found.is_empty() {
            return Err(Diagnostic::error(
                p.span,
                format!("no function of {path} matches {name}"),
            ));
        }
        return Ok(found
            .into_iter()
            .map(|n| kind(UserTarget::Symbol(n.clone()), offset))
            .collect());
    }
    if !known.is_empty() && !known.iter().any(|n| n == name) {
        let d = Diagnostic::error(p.span, format!("{path} has no function {name}"));
        return Err(match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => d.hint(format!("did you mean `{}:{file}:{near}`?", p.row.names[0])),
            None => d,
        });
    }
    Ok(vec![kind(UserTarget::Symbol(name.to_owned()), offset)])
}
