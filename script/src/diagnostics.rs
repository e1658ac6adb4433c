//! Findings about a script, each with its place, as text that marks the place.
//!
//! **Invariant:** every finding names a place in the script; all that were found are kept.

use std::fmt;
use std::sync::Arc;

use crate::source::{Source, Span};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub span: Span,
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    pub fn error(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            span,
            message: message.into(),
            hint: None,
        }
    }

    pub fn warning(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Warning,
            ..Diagnostic::error(span, message)
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hint = Some(hint.into());
        self
    }

    /// Adds `did you mean …?` when a known name is close to `name`.
    #[must_use]
    pub fn suggest<'a>(self, name: &str, known: impl IntoIterator<Item = &'a str>) -> Diagnostic {
        match nearest(name, known) {
            Some(near) => self.hint(format!("did you mean `{near}`?")),
            None => self,
        }
    }

    /// The same, and where no name is close says which there are.
    #[must_use]
    pub fn suggest_of<'a>(
        self,
        name: &str,
        known: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Diagnostic {
        const SHOWN: usize = 12;
        if nearest(name, known.clone()).is_some() {
            return self.suggest(name, known);
        }
        let mut all: Vec<String> = known.into_iter().map(|n| format!("`{n}`")).collect();
        if all.is_empty() {
            return self.hint("there are none");
        }
        let more = if all.len() > SHOWN { " …" } else { "" };
        all.truncate(SHOWN);
        self.hint(format!("there are {}{more}", all.join(", ")))
    }
}

/// Everything found in one script. The error of [`crate::parse`] and [`crate::compile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    pub source: Arc<Source>,
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    pub fn new(source: Arc<Source>) -> Diagnostics {
        Diagnostics {
            source,
            list: Vec::new(),
        }
    }

    pub fn push(&mut self, diagnostic: Diagnostic) {
        // The same finding can come from several attach points of one probe.
        if !self.list.contains(&diagnostic) {
            self.list.push(diagnostic);
        }
    }

    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }
}

impl std::error::Error for Diagnostics {}

impl fmt::Display for Diagnostics {
    /// `FILE:LINE:COLUMN-COLUMN: ERROR: message`, the line, a row of `~` below the place, the hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for d in &self.list {
            let start = self.source.position(d.span.start);
            let end = self.source.position(d.span.end.max(d.span.start));
            let word = match d.severity {
                Severity::Error => "ERROR",
                Severity::Warning => "WARNING",
            };
            let line = self.source.line_at(d.span.start);
            let file = self.source.file(d.span.start);
            let last = if end.line == start.line {
                end.column.max(start.column + 1)
            } else {
                (line.chars().count() as u32 + 1).max(start.column + 1)
            };
            if end.line == start.line {
                write!(f, "{}:{}:{}-{}", file, start.line, start.column, last)?;
            } else {
                write!(f, "{}:{}-{}", file, start.line, end.line)?;
            }
            writeln!(f, ": {word}: {}", d.message)?;
            writeln!(f, "{line}")?;
            let pad: String = line
                .chars()
                .take(start.column as usize - 1)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            writeln!(f, "{pad}{}", "~".repeat((last - start.column) as usize))?;
            if let Some(hint) = &d.hint {
                writeln!(f, "HINT: {hint}")?;
            }
        }
        Ok(())
    }
}

/// The known name closest to `name`, when close enough to be a slip of the hand.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).clamp(1, 4);
    known
        .into_iter()
        .filter(|k| *k != name)
        .map(|k| (distance(name, k, limit), k))
        .filter(|(d, _)| *d <= limit)
        // Letters change places more often than they go missing.
        .min_by_key(|(d, k)| (*d, k.len().abs_diff(name.len()), *k))
        .map(|(_, k)| k)
}

/// Edit distance with transpositions, or more than `limit`.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    let a: Vec<char> = a.chars().take(80).collect();
    let b: Vec<char> = b.chars().take(80).collect();
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut d = (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                d = d.min(before[j - 2] + 1);
            }
            row.push(d);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name() {
        assert_eq!(nearest("cuont", ["count", "comm"]), Some("count"));
        assert_eq!(nearest("conut", ["count"]), Some("count"));
        assert_eq!(nearest("zzz", ["count", "comm"]), None);
        assert_eq!(nearest("prinft", ["print", "printf"]), Some("printf"));
    }

    #[test]
    fn marks_the_place() {
        let source = Arc::new(Source::new("x.bt", "begin {\n  foo(1);\n}"));
        let mut all = Diagnostics::new(source);
        all.push(Diagnostic::error(Span::new(10, 13), "unknown function `foo`").hint("try `for`"));
        assert_eq!(
            all.to_string(),
            "x.bt:2:3-6: ERROR: unknown function `foo`\n  foo(1);\n  ~~~\nHINT: try `for`\n"
        );
    }
}
