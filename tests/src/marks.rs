//! Marks in a program's source: `!! rule` on the line that breaks the rule.

use std::path::{Path, PathBuf};

/// What a marked file expects of the verifier.
#[derive(Debug, PartialEq, Eq)]
pub struct Mark {
    /// 1-based.
    pub line: u32,
    pub rule: String,
}

/// The source of an object of `programs/unsafe`.
pub fn source(object: &Path) -> PathBuf {
    if object.extension().is_some_and(|x| x == "s") {
        return object.to_path_buf();
    }
    object.with_extension("bpf.c")
}

/// The one mark of a source.
pub fn read(source: &Path) -> Mark {
    let text =
        std::fs::read_to_string(source).unwrap_or_else(|e| panic!("{}: {e}", source.display()));
    let mut marks = text.lines().zip(1..).filter_map(|(line, number)| {
        let rule = line.split("!! ").nth(1)?;
        let rule = rule.split_whitespace().next()?;
        Some(Mark {
            line: number,
            rule: rule.to_string(),
        })
    });
    let mark = marks
        .next()
        .unwrap_or_else(|| panic!("{} marks no line with `!! rule`", source.display()));
    assert!(
        marks.next().is_none(),
        "{} marks more than one line",
        source.display()
    );
    mark
}
