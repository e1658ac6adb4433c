//! A script's text with its name ⇄ lines, columns and marked excerpts.

use std::fmt;
use std::sync::Arc;

/// Byte range of a script's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub const fn new(start: u32, end: u32) -> Span {
        Span { start, end }
    }

    /// From the start of `self` to the end of `other`.
    pub fn to(self, other: Span) -> Span {
        Span {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// A script's text and where its lines begin.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    pub name: Arc<str>,
    pub text: Arc<str>,
    line_starts: Vec<u32>,
    /// Where the files that it imports begin, with their names.
    parts: Vec<(u32, Arc<str>)>,
}

/// 1-based line and column (columns count characters).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

impl Source {
    pub fn new(name: &str, text: &str) -> Source {
        let mut line_starts = vec![0];
        for (i, b) in text.bytes().enumerate() {
            if b == b'\n' {
                line_starts.push(i as u32 + 1);
            }
        }
        Source {
            name: name.into(),
            text: text.into(),
            line_starts,
            parts: Vec::new(),
        }
    }

    /// Names the file that begins at an offset, which is behind those named before.
    pub(crate) fn part(&mut self, start: u32, name: &str) {
        self.parts.push((start, name.into()));
    }

    /// The file that an offset is in, with its first line's number less one.
    fn part_of(&self, offset: u32) -> (Arc<str>, u32) {
        let n = self.parts.partition_point(|(start, _)| *start <= offset);
        match n.checked_sub(1).and_then(|n| self.parts.get(n)) {
            Some((start, name)) => {
                let before = self.line_starts.partition_point(|s| s <= start).max(1);
                (name.clone(), before as u32 - 1)
            }
            None => (self.name.clone(), 0),
        }
    }

    /// The file that an offset is in.
    pub fn file(&self, offset: u32) -> Arc<str> {
        self.part_of(offset).0
    }

    /// The line that an offset is in, without its line end.
    pub fn line_at(&self, offset: u32) -> &str {
        let n = self.line_starts.partition_point(|&s| s <= offset).max(1);
        self.line(n as u32)
    }

    pub fn position(&self, offset: u32) -> Position {
        let line = self.line_starts.partition_point(|&s| s <= offset).max(1);
        let start = self.line_starts[line - 1] as usize;
        let end = (offset as usize).min(self.text.len());
        let column = self
            .text
            .get(start..end)
            .map_or(end.saturating_sub(start), |t| t.chars().count());
        Position {
            line: (line as u32 - self.part_of(offset).1).max(1),
            column: column as u32 + 1,
        }
    }

    /// The text of a 1-based line of the whole text, without its line end.
    fn line(&self, line: u32) -> &str {
        let n = line as usize;
        let start = match n.checked_sub(1).and_then(|i| self.line_starts.get(i)) {
            Some(&s) => s as usize,
            None => return "",
        };
        let end = self
            .line_starts
            .get(n)
            .map_or(self.text.len(), |&e| e as usize);
        self.text
            .get(start..end)
            .unwrap_or("")
            .trim_end_matches(['\n', '\r'])
    }

    pub fn excerpt(&self, span: Span) -> &str {
        self.text
            .get(span.start as usize..span.end as usize)
            .unwrap_or("")
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({}, {} bytes)", self.name, self.text.len())
    }
}
