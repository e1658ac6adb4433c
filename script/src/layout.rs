//! A script's text → the same script laid out anew: a statement a line, four blanks a level; remarks stay.
//!
//! **Invariant:** both texts have the same [`Ast`](crate::Ast), which whoever calls this can check by their
//! printed forms; only blanks and ends of lines differ.

/// What stands between the pieces: nothing, a blank, or the end of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gap {
    None,
    Blank,
    Line,
}

/// Lays out a script that can be parsed. What is in a line of `#` stays as it is.
pub fn layout(text: &str) -> String {
    let mut out = Layout {
        text: String::new(),
        depth: 0,
        round: 0,
        begun: false,
        gap: Gap::None,
        empty_lines: 0,
        takes_line: false,
    };
    let mut pos = 0;
    while pos < text.len() {
        let (piece, end) = piece(text, pos);
        out.piece(piece, &text[pos..end], text[end..].trim_start());
        pos = end;
    }
    let mut text = out.text.trim_end().to_owned();
    text.push('\n');
    text
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    Blank,
    /// `#…` to the end of its line, with the lines that it goes on in.
    Directive,
    /// `// …`
    Remark,
    /// `/* … */`, strings, and runs of anything else.
    Whole,
    /// One of `{ } ( ) [ ] ;`.
    Sign(u8),
}

/// What begins at `pos`, and where it ends.
fn piece(text: &str, pos: usize) -> (Piece, usize) {
    let b = text.as_bytes();
    let to = |found: Option<usize>| found.map_or(text.len(), |n| pos + n);
    match b[pos] {
        c if c.is_ascii_whitespace() => {
            let end = text[pos..].find(|c: char| !c.is_ascii_whitespace());
            (Piece::Blank, to(end))
        }
        b'#' if text[..pos].rsplit('\n').next().is_some_and(|l| l.trim().is_empty())
            // `$#` is no directive, and stands behind something.
            =>
        {
            let mut end = pos;
            loop {
                end = text[end..].find('\n').map_or(text.len(), |n| end + n);
                if !text[..end].ends_with('\\') || end == text.len() {
                    return (Piece::Directive, end);
                }
                end += 1;
            }
        }
        b'/' if b.get(pos + 1) == Some(&b'/') => (Piece::Remark, to(text[pos..].find('\n'))),
        b'/' if b.get(pos + 1) == Some(&b'*') => {
            let end = text[pos + 2..].find("*/").map(|n| n + 4);
            (Piece::Whole, to(end))
        }
        b'"' => {
            let mut end = pos + 1;
            while end < b.len() && b[end] != b'"' {
                end += if b[end] == b'\\' { 2 } else { 1 };
            }
            let mut end = (end + 1).min(b.len());
            while !text.is_char_boundary(end) {
                end += 1;
            }
            (Piece::Whole, end)
        }
        c @ (b'{' | b'}' | b'(' | b')' | b'[' | b']' | b';') => (Piece::Sign(c), pos + 1),
        _ => {
            let ends = |(n, c): (usize, char)| {
                let rest = &text[pos + n..];
                n > 0
                    && (c.is_ascii_whitespace()
                        || "{}()[];\"".contains(c)
                        || rest.starts_with("//")
                        || rest.starts_with("/*"))
            };
            let end = text[pos..].char_indices().find(|at| ends(*at));
            (Piece::Whole, to(end.map(|(n, _)| n)))
        }
    }
}

struct Layout {
    text: String,
    /// Open braces.
    depth: usize,
    /// Open parentheses and brackets: nothing in them is broken.
    round: usize,
    /// A statement has begun whose end has not come.
    begun: bool,
    gap: Gap,
    /// Empty lines that the script has here; one of them stays.
    empty_lines: usize,
    /// What came last takes the rest of its line.
    takes_line: bool,
}

impl Layout {
    fn piece(&mut self, piece: Piece, text: &str, next: &str) {
        match piece {
            Piece::Blank => {
                let lines = text.matches('\n').count();
                self.empty_lines = lines.saturating_sub(1);
                let gap = if lines > 0 { Gap::Line } else { Gap::Blank };
                if self.gap != Gap::Line {
                    self.gap = gap;
                }
                // A remark behind a statement stays in its line.
                if lines == 0 && next.starts_with("//") && self.gap == Gap::Line {
                    self.gap = Gap::Blank;
                }
            }
            Piece::Directive => {
                self.line();
                self.text.push_str(text.trim_end());
                self.gap = Gap::Line;
                self.takes_line = true;
            }
            Piece::Remark => {
                if self.gap == Gap::None {
                    self.gap = Gap::Blank;
                }
                self.put(text.trim_end());
                self.gap = Gap::Line;
                self.takes_line = true;
            }
            Piece::Whole => {
                self.put(text);
                self.begun = true;
            }
            Piece::Sign(b'{') if self.round == 0 => {
                if self.begun && !self.takes_line {
                    self.gap = Gap::Blank;
                }
                self.put("{");
                self.depth += 1;
                self.ends();
            }
            Piece::Sign(b'}') if self.round == 0 => {
                self.depth = self.depth.saturating_sub(1);
                let nothing = self.text.ends_with('{');
                self.begun = false;
                self.empty_lines = 0;
                self.gap = if nothing { Gap::Blank } else { Gap::Line };
                self.put("}");
                let goes_on = next.starts_with("else") || next.starts_with([';', ')', ',', '.']);
                match goes_on {
                    true => {
                        self.begun = true;
                        self.gap = if next.starts_with("else") {
                            Gap::Blank
                        } else {
                            Gap::None
                        };
                    }
                    false => self.ends(),
                }
            }
            Piece::Sign(b';') if self.round == 0 => {
                self.gap = if self.takes_line {
                    Gap::Line
                } else {
                    Gap::None
                };
                self.put(";");
                self.ends();
            }
            Piece::Sign(sign) => {
                match sign {
                    b'(' | b'[' | b'{' => {
                        self.put(text);
                        self.round += 1;
                    }
                    _ => {
                        self.round = self.round.saturating_sub(1);
                        self.put(text);
                    }
                }
                self.begun = true;
            }
        }
    }

    fn ends(&mut self) {
        self.begun = false;
        self.gap = Gap::Line;
        self.empty_lines = 0;
    }

    fn line(&mut self) {
        let trimmed = self.text.trim_end_matches([' ', '\n']).len();
        self.text.truncate(trimmed);
        if !self.text.is_empty() {
            self.text.push('\n');
            if self.empty_lines > 0 && !self.text.ends_with("{\n") {
                self.text.push('\n');
            }
        }
        self.empty_lines = 0;
    }

    fn put(&mut self, text: &str) {
        match self.gap {
            Gap::None => {}
            Gap::Blank => self.text.push(' '),
            Gap::Line => {
                self.line();
                // What goes on from the line before stands one level further in.
                let level = self.depth + usize::from(self.begun && self.depth > 0);
                self.text.push_str(&"    ".repeat(level));
            }
        }
        self.gap = Gap::None;
        self.empty_lines = 0;
        self.takes_line = false;
        self.text.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::layout;

    #[test]
    fn one_line_becomes_a_statement_a_line() {
        let text = "BEGIN{$x=1;if($x>0){printf(\"a;{ b\\n\");}else{exit();}} // end\ninterval:s:1 /@x > 1/ { clear(@x) }";
        let wanted = "BEGIN {
    $x=1;
    if($x>0) {
        printf(\"a;{ b\\n\");
    } else {
        exit();
    }
} // end
interval:s:1 /@x > 1/ {
    clear(@x)
}
";
        assert_eq!(layout(text), wanted);
        assert_eq!(layout(wanted), wanted);
    }

    #[test]
    fn remarks_and_directives_stay() {
        let text = "#!/usr/bin/env bpftrace\n/*\n * a\n */\n\n\n#define A \\\n  1\nbegin\n{\n\t// why\n\n\n\t@a = A;\t// here\n\tprint(@a,\n\t\t1);\n}\n";
        let wanted = "#!/usr/bin/env bpftrace\n/*\n * a\n */\n\n#define A \\\n  1\nbegin {\n    // why\n\n    @a = A; // here\n    print(@a,\n        1);\n}\n";
        assert_eq!(layout(text), wanted);
        assert_eq!(layout(wanted), wanted);
    }
}
