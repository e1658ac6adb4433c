//! `uprobe:FILE:FUNCTION` and `uretprobe:FILE:FUNCTION`: functions of programs and libraries.

use super::{Point, ProbeKind, Row, UserTarget, is_pattern, matches, number, split_offset};
use crate::diagnostics::{Diagnostic, nearest};
use crate::env::Environment;

pub const UPROBE: Row = Row {
    names: &["uprobe", "u"],
    syntax: "`uprobe:FILE:FUNCTION`, `uprobe:FILE:FUNCTION+OFFSET`, `uprobe:FILE:0xADDRESS`, `uprobe:FILE@SOURCE:LINE` or `uprobe:FILE:cpp:\"NAME\"`; file and function may have wildcards",
    doc: "A function of a program or library as it is entered; its arguments are `arg0` … and, with debug information, `args.NAME`; with it a source line is a place too.",
    example: "uprobe:libc:malloc { @ = hist(arg0); }",
    expand: |p, env| expand(p, env, false),
};

pub const URETPROBE: Row = Row {
    names: &["uretprobe", "ur"],
    syntax: "`uretprobe:FILE:FUNCTION`",
    doc: "A function of a program or library as it returns `retval`.",
    example: "uretprobe:libc:malloc { @ = count(); }",
    expand: |p, env| expand(p, env, true),
};

fn expand(p: &Point<'_>, env: &Environment<'_>, ret: bool) -> Result<Vec<ProbeKind>, Diagnostic> {
    let (file, language, target) = match p.parts.as_slice() {
        [file, target] if !file.is_empty() && !target.is_empty() => (*file, "", *target),
        // A name such as `space::function` has colons of its own.
        [file, language, rest @ ..] if !file.is_empty() && !rest.is_empty() => {
            let start = rest[0].as_ptr() as usize - p.text.as_ptr() as usize;
            (*file, *language, p.text.get(start..).unwrap_or(""))
        }
        _ => return Err(p.wrong("a file and a function must follow")),
    };
    if let Some((program, source)) = file.rsplit_once('@') {
        return line(p, env, (program, source), target, ret);
    }
    if !is_pattern(file) {
        let path = resolve(p, env, file)?;
        return in_file(p, env, (file, &path), (language, target), ret);
    }
    // Of many files, those that have such a function.
    let files = files(p, env, file)?;
    let found: Vec<ProbeKind> = files
        .iter()
        .filter_map(|path| in_file(p, env, (path, path), (language, target), ret).ok())
        .flatten()
        .collect();
    if found.is_empty() {
        let what = format!(
            "none of the {} files of {file} has a function {target}",
            files.len()
        );
        return Err(Diagnostic::error(p.span, what));
    }
    Ok(found)
}

/// The places in one file, as the script names it and as it is called here.
fn in_file(
    p: &Point<'_>,
    env: &Environment<'_>,
    (file, path): (&str, &str),
    (language, target): (&str, &str),
    ret: bool,
) -> Result<Vec<ProbeKind>, Diagnostic> {
    let target = target.trim_matches('"');
    let kind = |target: UserTarget, offset: u64| ProbeKind::Uprobe {
        path: path.to_owned(),
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
    if language == "cpp" {
        return readable(p, env, path, target).map(|found| {
            found
                .into_iter()
                .map(|n| kind(UserTarget::Symbol(n), 0))
                .collect()
        });
    }
    let known = env.functions.user(path);
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

/// The file that a name means.
pub(super) fn resolve(
    p: &Point<'_>,
    env: &Environment<'_>,
    file: &str,
) -> Result<String, Diagnostic> {
    let found = env.functions.resolve(file);
    found.ok_or_else(|| {
        Diagnostic::error(p.span, format!("no program or library `{file}` here"))
            .hint("write its whole path, or the name of a program in PATH or of a library")
    })
}

/// The files that a path with wildcards means.
pub(super) fn files(
    p: &Point<'_>,
    env: &Environment<'_>,
    pattern: &str,
) -> Result<Vec<String>, Diagnostic> {
    let mut found = env.functions.files(pattern, env.pid_filter);
    // The command that waits does not run its program yet.
    let own = env
        .program
        .as_ref()
        .filter(|p| pattern == "*" && !found.contains(p));
    found.extend(own.cloned());
    match found.is_empty() {
        false => Ok(found),
        true => Err(Diagnostic::error(
            p.span,
            format!("no program or library matches {pattern}"),
        )),
    }
}

/// `FILE@SOURCE:LINE`: the code that a source line became.
fn line(
    p: &Point<'_>,
    env: &Environment<'_>,
    (program, source): (&str, &str),
    text: &str,
    ret: bool,
) -> Result<Vec<ProbeKind>, Diagnostic> {
    if ret {
        return Err(p.wrong("a source line does not return"));
    }
    let path = resolve(p, env, program)?;
    let line = number(text).ok_or_else(|| p.wrong(format_args!("`{text}` is not a line")))?;
    let missing = |what: String| Diagnostic::error(p.span, what);
    let found = env
        .functions
        .source_line(&path, source, line)
        .ok_or_else(|| missing(format!("{path} has no debug information")))?;
    if found.is_empty() {
        return Err(missing(format!("{path} has no code of {source}:{line}")));
    }
    let kind = |address| ProbeKind::Uprobe {
        path: path.clone(),
        target: UserTarget::Address(address),
        offset: 0,
        ret,
    };
    Ok(found.into_iter().map(kind).collect())
}

/// The symbols of the functions that are called so in C++ or Rust, with or without their parameters.
fn readable(
    p: &Point<'_>,
    env: &Environment<'_>,
    path: &str,
    wanted: &str,
) -> Result<Vec<String>, Diagnostic> {
    let known = env.functions.readable(path);
    let bare = |name: &str| name.split('(').next().unwrap_or(name).to_owned();
    let mut found: Vec<String> = known
        .iter()
        .filter(|(_, name)| matches(wanted, name) || matches(wanted, &bare(name)))
        .map(|(symbol, _)| symbol.clone())
        .collect();
    found.sort();
    found.dedup();
    if !found.is_empty() {
        return Ok(found);
    }
    let d = Diagnostic::error(p.span, format!("{path} has no function {wanted}"));
    let names: Vec<String> = known.iter().map(|(_, name)| bare(name)).collect();
    Err(match nearest(wanted, names.iter().map(String::as_str)) {
        Some(near) => d.hint(format!("did you mean `{near}`?")),
        None => d,
    })
}

#[cfg(test)]
mod tests {
    use crate::env::{Environment, FormatTable, Functions};
    use crate::probes::expand;
    use crate::source::Span;

    /// A program in C++.
    struct Program;

    impl Functions for Program {
        fn kernel(&self) -> Vec<String> {
            Vec::new()
        }
        fn user(&self, _: &str) -> Vec<String> {
            vec!["main".into(), "_ZN5space3fooEi".into()]
        }
        fn readable(&self, _: &str) -> Vec<(String, String)> {
            [
                ("_ZN5space3fooEi", "space::foo(int)"),
                ("_ZN5space3fooEc", "space::foo(char)"),
                ("_ZN5space3barEv", "space::bar()"),
            ]
            .map(|(a, b)| (a.into(), b.into()))
            .to_vec()
        }
        fn resolve(&self, path: &str) -> Option<String> {
            Some(path.to_owned())
        }
    }

    #[test]
    fn names_of_cpp() {
        let formats = FormatTable::new();
        let env = Environment::new(&formats, &Program);
        let names = |text: &str| {
            let found = expand(text, Span::default(), &env).map_err(|d| d.message)?;
            Ok::<_, String>(found.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let both = ["uprobe:/x:_ZN5space3fooEc", "uprobe:/x:_ZN5space3fooEi"];
        assert_eq!(names("uprobe:/x:cpp:space::foo").unwrap(), both);
        assert_eq!(names("uprobe:/x:cpp:\"space::foo\"").unwrap(), both);
        assert_eq!(
            names("uprobe:/x:cpp:\"space::foo(int)\"").unwrap(),
            both[1..]
        );
        assert_eq!(names("uprobe:/x:cpp:space::*").unwrap().len(), 3);
        assert_eq!(names("uprobe:/x:main").unwrap(), ["uprobe:/x:main"]);
        assert!(names("uprobe:/x:cpp:space::fo").is_err());
    }
}
