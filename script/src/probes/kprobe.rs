//! `kprobe:FUNCTION` and `kretprobe:FUNCTION`: entry and return of kernel functions.

use super::{Point, ProbeKind, Row, is_pattern, matches, split_offset};
use crate::diagnostics::{Diagnostic, nearest};
use crate::env::Environment;

pub const KPROBE: Row = Row {
    names: &["kprobe", "k"],
    syntax: "`kprobe:FUNCTION`, `kprobe:FUNCTION+OFFSET` or `kprobe:MODULE:FUNCTION`",
    doc: "A kernel function as it is entered; its arguments are `arg0` …",
    example: "kprobe:vfs_read { @[comm] = count(); }",
    expand: |p, env| expand(p, env, false),
};

pub const KRETPROBE: Row = Row {
    names: &["kretprobe", "kr"],
    syntax: "`kretprobe:FUNCTION` or `kretprobe:MODULE:FUNCTION`",
    doc: "A kernel function as it returns `retval`.",
    example: "kretprobe:vfs_read { @ = hist(retval); }",
    expand: |p, env| expand(p, env, true),
};

fn expand(p: &Point<'_>, env: &Environment<'_>, ret: bool) -> Result<Vec<ProbeKind>, Diagnostic> {
    let (module, target) = match p.parts.as_slice() {
        [t] if !t.is_empty() => (None, *t),
        ["vmlinux" | "", t] if !t.is_empty() => (None, *t),
        [m, t] if !t.is_empty() => (Some(*m), *t),
        _ => return Err(p.wrong("the name of a kernel function must follow")),
    };
    let target = target.trim_matches('"');
    let (name, offset) =
        split_offset(target).ok_or_else(|| p.wrong("the offset is not a number"))?;
    if ret && offset != 0 {
        return Err(p.wrong("a return has no offset"));
    }
    let kind = |function: &str| ProbeKind::Kprobe {
        function: function.to_owned(),
        offset,
        ret,
    };
    if let Some(address) = name.strip_prefix("0x") {
        return match u64::from_str_radix(address, 16) {
            Ok(a) if !ret && module.is_none() => Ok(vec![ProbeKind::Kprobe {
                function: format!("{:#x}", a.wrapping_add(offset)),
                offset: 0,
                ret,
            }]),
            _ => Err(p.wrong(format_args!("`{name}` is not an address to probe"))),
        };
    }
    if let Some(module) = module {
        return in_modules(p, env, module, name, offset, ret);
    }
    let known = env.functions.kernel();
    if is_pattern(name) {
        let mut found: Vec<&String> = known.iter().filter(|n| matches(name, n)).collect();
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
    if !known.is_empty() && !known.iter().any(|n| n == name) {
        let d = Diagnostic::error(p.span, format!("kernel function not found: {name}"));
        return Err(match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => d.hint(format!("did you mean `{}:{near}`?", p.row.names[0])),
            None => d,
        });
    }
    Ok(vec![kind(name)])
}

/// Functions of modules: `MODULE:FUNCTION` is a name that the kernel knows.
fn in_modules(
    p: &Point<'_>,
    env: &Environment<'_>,
    module: &str,
    name: &str,
    offset: u64,
    ret: bool,
) -> Result<Vec<ProbeKind>, Diagnostic> {
    let mut found: Vec<(String, String)> = env.functions.modules();
    found.retain(|(m, n)| matches(module, m) && matches(name, n));
    found.sort();
    found.dedup();
    if found.is_empty() {
        return Err(Diagnostic::error(
            p.span,
            format!("no function of a loaded module matches {module}:{name}"),
        ));
    }
    Ok(found
        .into_iter()
        .map(|(m, n)| ProbeKind::Kprobe {
            function: format!("{m}:{n}"),
            offset,
            ret,
        })
        .collect())
}
