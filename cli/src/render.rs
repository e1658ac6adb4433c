//! A rejection, as a person reads it: the rule, the source line, what is known, what to do.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use probity_verifier::{Rejection, Rule};

/// Several lines, coloured; the output stream takes colours away where they are not wanted.
pub fn rejection(object: &str, program: &str, rejection: &Rejection) -> String {
    let r = rejection;
    let title = format!("{program}: {}", unproved(r));
    let mut group = Group::with_title(Level::ERROR.primary_title(title).id(r.rule.name()));
    let path;
    if let Some(line) = r.line.as_ref().filter(|l| !l.text.trim().is_empty()) {
        path = line.file.to_string();
        let text: &str = &line.text;
        let start = text.len() - text.trim_start().len();
        let end = text.trim_end().len();
        let from = match line.column as usize {
            0 => start,
            column => (column - 1).clamp(start, end.saturating_sub(1).max(start)),
        };
        let from = (0..=from)
            .rev()
            .find(|&i| text.is_char_boundary(i))
            .unwrap_or(0);
        group = group.element(
            Snippet::source(text)
                .line_start(line.line as usize)
                .path(path)
                .annotation(
                    AnnotationKind::Primary
                        .span(from..end.max(from))
                        .label(r.known.clone()),
                ),
        );
    } else if !r.known.is_empty() {
        group = group.element(Level::NOTE.message(format!("known: {}", r.known)));
    }
    if let (Some(pc), Some(insn)) = (r.pc, &r.insn) {
        group =
            group.element(Level::NOTE.message(format!("in {object}, instruction {pc}: {insn}")));
    } else {
        group = group.element(Level::NOTE.message(format!("in {object}")));
    }
    if !r.trail.is_empty() {
        let mut text = String::from("how it came to be:");
        for step in &r.trail {
            let _ = write!(text, "\n{:>5}: {}", step.pc, step.what);
            if let Some(line) = &step.line {
                let _ = write!(text, "   ({}:{})", line.file, line.line);
            }
        }
        group = group.element(Level::NOTE.message(text));
    }
    if let Some(hint) = &r.hint {
        group = group.element(Level::HELP.message(hint.clone()));
    }
    Renderer::styled().render(&[group])
}

/// What a rejection says must hold is a statement; alone it would read as if it did hold.
fn unproved(rejection: &Rejection) -> String {
    match rejection.rule {
        Rule::Unsupported => format!("not modelled yet: {}", rejection.must),
        Rule::Internal => format!("internal error: {}", rejection.must),
        _ => format!("not proved: {}", rejection.must),
    }
}

/// A rejection in one line.
pub fn message(rejection: &Rejection) -> String {
    let mut text = unproved(rejection);
    if !rejection.known.is_empty() {
        let _ = write!(text, "; known: {}", rejection.known);
    }
    text
}

/// `file:line:column` of a rejection, when it has one.
pub fn place(rejection: &Rejection) -> Option<String> {
    rejection.line.as_ref().map(|l| match l.column {
        0 => format!("{}:{}", l.file, l.line),
        column => format!("{}:{}:{column}", l.file, l.line),
    })
}
