//! `fentry:FUNCTION` and `fexit:FUNCTION`: kernel functions with their typed arguments.

use probity_btf::TypeId;

use super::{Point, ProbeKind, Row, is_pattern, matches};
use crate::ast::Item;
use crate::diagnostics::{Diagnostic, nearest};
use crate::env::Environment;
use crate::files::Files;

pub const FENTRY: Row = Row {
    names: &["fentry", "f", "kfunc"],
    syntax: "`fentry:FUNCTION`, `fentry:MODULE:FUNCTION`, `fentry:bpf:FUNCTION` or `fentry:bpf:ID:FUNCTION`",
    doc: "A kernel function as it is entered; its arguments are `args.NAME`. With `bpf`: a function of a program that is loaded, of all or of the one with this number; its arguments are `arg0` …",
    example: "fentry:vfs_read { @[comm] = sum(args.count); }",
    expand: |p, env| expand(p, env, false),
};

pub const FEXIT: Row = Row {
    names: &["fexit", "fr", "kretfunc"],
    syntax: "`fexit:FUNCTION`, `fexit:MODULE:FUNCTION`, `fexit:bpf:FUNCTION` or `fexit:bpf:ID:FUNCTION`",
    doc: "A kernel function as it returns: its arguments are `args.NAME`, what it returns is `retval`. With `bpf`: a function of a program that is loaded, as for `fentry`.",
    example: "fexit:vfs_read { @ = hist(retval); }",
    expand: |p, env| expand(p, env, true),
};

fn expand(p: &Point<'_>, env: &Environment<'_>, ret: bool) -> Result<Vec<ProbeKind>, Diagnostic> {
    let (module, name) = match p.parts.as_slice() {
        [t] | ["vmlinux" | "", t] if !t.is_empty() => (None, t.trim_matches('"')),
        ["bpf", name] => return of_programs(p, env, None, name, ret),
        ["bpf", id, name] => return of_programs(p, env, Some(id), name, ret),
        [module, t] if !t.is_empty() => (Some(*module), t.trim_matches('"')),
        _ => return Err(p.wrong("the name of a kernel function must follow")),
    };
    let kind = |function: &str| ProbeKind::Fentry {
        module: module.map(str::to_owned),
        function: function.to_owned(),
        ret,
    };
    let Some(types) = env.types() else {
        return Err(Diagnostic::error(
            p.span,
            "the kernel's types (BTF) are not known here",
        ));
    };
    let of_module = |id: &TypeId| types.base().is_some() && *id >= types.first_id();
    let typed = |n: &str| match (types.find_func(n), module) {
        (Some(id), Some(_)) => of_module(&id),
        (found, _) => found.is_some(),
    };
    let known = match module {
        Some(module) => {
            let all = env.functions.modules().into_iter();
            let of = all.filter(|(m, _)| m == module).map(|(_, n)| n);
            let of: Vec<String> = of.collect();
            if types.base().is_none() || of.is_empty() {
                return Err(Diagnostic::error(
                    p.span,
                    format!("no types of a module {module} are known"),
                )
                .hint(format!(
                    "it must be loaded and have types: /sys/kernel/btf/{module}"
                )));
            }
            of
        }
        None => env.functions.kernel(),
    };
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
        let before = module.map_or(String::new(), |m| format!("{m}:"));
        return Err(match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => d.hint(format!("did you mean `{}:{before}{near}`?", p.row.names[0])),
            None => d.hint("its types must be in the kernel's BTF"),
        });
    }
    Ok(vec![kind(name)])
}

/// Functions of programs that are loaded: of all, or of the one with a number.
fn of_programs(
    p: &Point<'_>,
    env: &Environment<'_>,
    id: Option<&str>,
    name: &str,
    ret: bool,
) -> Result<Vec<ProbeKind>, Diagnostic> {
    let id = match id.filter(|i| !i.is_empty() && *i != "*") {
        Some(text) => Some(
            text.parse::<u32>()
                .map_err(|_| p.wrong(format_args!("`{text}` is not a program's number")))?,
        ),
        None => None,
    };
    let name = name.trim_matches('"');
    if name.is_empty() {
        return Err(p.wrong("the name of a program's function must follow"));
    }
    let all = env.functions.programs();
    let known = || all.iter().filter(|(n, _)| id.is_none_or(|id| id == *n));
    let found: Vec<ProbeKind> = known()
        .filter(|(_, n)| matches(name, n))
        .map(|(program, function)| ProbeKind::OfProgram {
            program: *program,
            function: function.clone(),
            ret,
        })
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let what = match (id, known().next()) {
        (Some(id), None) => format!("no program {id} with types is loaded"),
        (Some(id), _) => format!("program {id} has no function {name}"),
        (None, _) => format!("no program with types that is loaded has a function {name}"),
    };
    let d = Diagnostic::error(p.span, what);
    Err(match nearest(name, known().map(|(_, n)| n.as_str())) {
        Some(near) => d.hint(format!("did you mean `{}:bpf:{near}`?", p.row.names[0])),
        None => d.hint("`bpftool prog` lists programs; those that trace others cannot be traced"),
    })
}

/// The modules whose functions a script probes by their types, each once: their types must be known
/// before it is compiled.
pub fn typed_modules(files: &Files) -> Vec<String> {
    let mut out = Vec::new();
    let Ok(ast) = crate::parse_files(files) else {
        return out;
    };
    for item in &ast.items {
        let Item::Probe(probe) = item else { continue };
        for point in &probe.attach {
            let parts: Vec<&str> = point.text.split(':').collect();
            let [kind, module, _] = parts[..] else {
                continue;
            };
            let typed = FENTRY.names.contains(&kind) || FEXIT.names.contains(&kind);
            let ours = matches!(module, "" | "vmlinux" | "bpf");
            if typed && !ours && !out.iter().any(|m| m == module) {
                out.push(module.to_owned());
            }
        }
    }
    out
}
