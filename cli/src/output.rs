//! Writing for people and for programs.

use std::fmt::Display;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use crate::progress::Progress;

pub const BOLD: Style = Style::new().bold();
pub const GOOD: Style = AnsiColor::Green.on_default();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const DIM: Style = Style::new().dimmed();

/// Standard output; colours go only to a terminal that wants them.
pub fn stdout() -> impl Write {
    anstream::stdout().lock()
}

/// One line of text on standard output.
pub fn line(text: impl Display) -> io::Result<()> {
    writeln!(stdout(), "{text}")
}

/// Text of whole lines on standard output.
pub fn text(text: impl Display) -> io::Result<()> {
    write!(stdout(), "{text}")
}

/// One JSON object on one line.
pub fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    writeln!(stdout(), "{}", serde_json::to_string(value)?)?;
    Ok(())
}

/// `error: what: why` on standard error, its causes one a line where they are long.
pub fn error(error: &anyhow::Error) {
    let text = format!("{error:#}");
    let _ = writeln!(anstream::stderr(), "{BAD}error{BAD:#}: {text}");
}

pub fn warning(text: impl Display) {
    let style = AnsiColor::Yellow.on_default().bold();
    let _ = writeln!(anstream::stderr(), "{style}warning{style:#}: {text}");
}

/// Progress and other remarks for people: standard error.
pub fn note(text: impl Display) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Is the reader of our output gone? Then there is nobody to tell.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|e| {
        e.downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// What a compiler has to say.
pub fn diagnostics(diagnostics: &impl Display) {
    let _ = write!(anstream::stderr(), "{diagnostics}");
}

/// A bar on standard error for work on many files; nothing where nobody watches, or for a few.
pub fn progress(files: usize) -> Progress {
    const FEW: usize = 8;
    if files <= FEW {
        return Progress::hidden();
    }
    Progress::new(files)
}
