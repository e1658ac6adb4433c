//! An attach point's text → what it names on this machine, wildcards expanded.
//!
//! Each kind of probe is one file with its [`Row`]; what a kind means to a program is in [`ProbeKind`].

mod begin_end;
mod by_hand;
mod fentry;
mod iter;
mod kprobe;
mod perf_event;
mod rawtracepoint;
mod timer;
mod tracepoint;
mod uprobe;
mod usdt;
mod watchpoint;

use std::fmt;

pub use fentry::typed_modules;
pub(crate) use usdt::arguments as usdt_arguments;
pub use usdt::{UsdtArg, UsdtPlace};

use crate::diagnostics::Diagnostic;
use crate::env::Environment;
use crate::source::Span;

/// How an attach point of a kind is written and read.
pub struct Row {
    /// The long name first, then its short forms and older names.
    pub names: &'static [&'static str],
    pub syntax: &'static str,
    pub doc: &'static str,
    /// A script with such a probe.
    pub example: &'static str,
    pub expand: fn(&Point<'_>, &Environment<'_>) -> Result<Vec<ProbeKind>, Diagnostic>,
}

/// Every kind of probe.
pub const ROWS: &[&Row] = &[
    &begin_end::BEGIN,
    &begin_end::END,
    &timer::INTERVAL,
    &timer::PROFILE,
    &tracepoint::ROW,
    &rawtracepoint::ROW,
    &kprobe::KPROBE,
    &kprobe::KRETPROBE,
    &uprobe::UPROBE,
    &uprobe::URETPROBE,
    &perf_event::SOFTWARE,
    &perf_event::HARDWARE,
    &usdt::ROW,
    &fentry::FENTRY,
    &fentry::FEXIT,
    &watchpoint::ROW,
    &iter::ROW,
    &by_hand::SELF,
    &by_hand::TEST,
    &by_hand::BENCH,
];

/// The names of the events that `software` or `hardware` probes count.
pub fn event_names(kind: &str) -> Vec<&'static str> {
    perf_event::names(kind)
}

/// An attach point split at its colons.
pub struct Point<'a> {
    pub text: &'a str,
    /// What follows the kind.
    pub parts: Vec<&'a str>,
    pub span: Span,
    pub row: &'static Row,
}

impl Point<'_> {
    pub fn wrong(&self, message: impl fmt::Display) -> Diagnostic {
        Diagnostic::error(self.span, format!("{}: {message}", self.text))
            .hint(format!("write {}", self.row.syntax))
    }
}

/// What one program is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// Run once before events are looked at; in the script's order.
    Begin,
    /// Run once after the last event.
    End,
    /// On one processor.
    Interval(Period),
    /// On every processor.
    Profile(Period),
    Tracepoint {
        category: String,
        name: String,
    },
    RawTracepoint {
        name: String,
    },
    Kprobe {
        function: String,
        offset: u64,
        ret: bool,
    },
    Uprobe {
        path: String,
        target: UserTarget,
        offset: u64,
        ret: bool,
    },
    /// `PERF_TYPE_SOFTWARE`, every `count` events.
    Software {
        event: u64,
        name: String,
        count: u64,
    },
    /// `PERF_TYPE_HARDWARE`.
    Hardware {
        event: u64,
        name: String,
        count: u64,
    },
    /// One site of a static probe; `offset` and `semaphore` count from the file's start.
    Usdt {
        path: String,
        provider: String,
        name: String,
        offset: u64,
        semaphore: Option<u64>,
        /// As the file writes them.
        args: String,
    },
    /// A kernel function by its types.
    Fentry {
        /// Where it is not the kernel's own.
        module: Option<String>,
        function: String,
        ret: bool,
    },
    /// A function of a program that is loaded, by the program's number; its arguments are not known.
    OfProgram {
        program: u32,
        function: String,
        ret: bool,
    },
    /// `PERF_TYPE_BREAKPOINT`; `mode` is of `HW_BREAKPOINT_R` …
    Watchpoint {
        address: u64,
        len: u32,
        mode: u32,
    },
    /// Run once by reading the iterator.
    Iter {
        kind: String,
        pin: Option<String>,
    },
    /// Run by hand when this process receives a signal.
    Signal {
        number: i32,
        name: String,
    },
    /// Run by hand, when asked for.
    Test(String),
    Bench(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserTarget {
    Symbol(String),
    /// Offset in the file's address space.
    Address(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    Nanoseconds(u64),
    Hertz(u64),
}

impl ProbeKind {
    /// The ELF section that a program of this kind is in, as libbpf spells it.
    pub fn section(&self) -> String {
        match self {
            ProbeKind::Begin => "raw_tp/begin".into(),
            ProbeKind::End => "raw_tp/end".into(),
            ProbeKind::Signal { name, .. } => format!("raw_tp/signal_{name}"),
            ProbeKind::Test(name) => format!("raw_tp/test_{name}"),
            ProbeKind::Bench(name) => format!("raw_tp/bench_{name}"),
            ProbeKind::Fentry { function, ret, .. } => {
                format!("{}/{function}", if *ret { "fexit" } else { "fentry" })
            }
            // Which function that is, whoever loads it says.
            ProbeKind::OfProgram { ret, .. } => if *ret { "fexit" } else { "fentry" }.into(),
            ProbeKind::Iter { kind, .. } => format!("iter/{kind}"),
            ProbeKind::Usdt { path, offset, .. } => format!("uprobe/{path}:{offset:#x}"),
            ProbeKind::Interval(_)
            | ProbeKind::Profile(_)
            | ProbeKind::Watchpoint { .. }
            | ProbeKind::Software { .. }
            | ProbeKind::Hardware { .. } => "perf_event".into(),
            ProbeKind::Tracepoint { category, name } => format!("tracepoint/{category}/{name}"),
            ProbeKind::RawTracepoint { name } => format!("raw_tp/{name}"),
            ProbeKind::Kprobe {
                function,
                offset,
                ret,
            } => {
                let kind = if *ret { "kretprobe" } else { "kprobe" };
                if *offset == 0 {
                    format!("{kind}/{function}")
                } else {
                    format!("{kind}/{function}+{offset:#x}")
                }
            }
            ProbeKind::Uprobe {
                path,
                target,
                offset,
                ret,
            } => {
                let kind = if *ret { "uretprobe" } else { "uprobe" };
                let at = match target {
                    UserTarget::Symbol(s) if *offset == 0 => s.clone(),
                    UserTarget::Symbol(s) => format!("{s}+{offset:#x}"),
                    UserTarget::Address(a) => format!("{a:#x}"),
                };
                format!("{kind}/{path}:{at}")
            }
        }
    }

    /// `enum bpf_prog_type`.
    pub fn prog_type(&self) -> u32 {
        match self {
            ProbeKind::Begin
            | ProbeKind::End
            | ProbeKind::Signal { .. }
            | ProbeKind::Test(_)
            | ProbeKind::Bench(_)
            | ProbeKind::RawTracepoint { .. } => 17,
            ProbeKind::Fentry { .. } | ProbeKind::OfProgram { .. } | ProbeKind::Iter { .. } => 26,
            ProbeKind::Watchpoint { .. }
            | ProbeKind::Interval(_)
            | ProbeKind::Profile(_)
            | ProbeKind::Software { .. }
            | ProbeKind::Hardware { .. } => 7,
            ProbeKind::Tracepoint { .. } => 5,
            ProbeKind::Kprobe { .. } | ProbeKind::Uprobe { .. } | ProbeKind::Usdt { .. } => 2,
        }
    }

    /// What a program returns. 0 from a tracepoint's would hide the event from perf.
    pub fn returns(&self) -> i32 {
        i32::from(matches!(self, ProbeKind::Tracepoint { .. }))
    }

    /// Whether events of other processes come here, so that a process filter has a meaning.
    pub fn filtered(&self) -> bool {
        !matches!(
            self,
            ProbeKind::Begin
                | ProbeKind::End
                | ProbeKind::Interval(_)
                | ProbeKind::Iter { .. }
                | ProbeKind::Signal { .. }
                | ProbeKind::Test(_)
                | ProbeKind::Bench(_)
        )
    }

    /// Run by the tracer, not by an event.
    pub fn by_hand(&self) -> bool {
        matches!(
            self,
            ProbeKind::Begin
                | ProbeKind::End
                | ProbeKind::Signal { .. }
                | ProbeKind::Test(_)
                | ProbeKind::Bench(_)
        )
    }

    /// The kind's long name.
    pub fn type_name(&self) -> &'static str {
        match self {
            ProbeKind::Begin => "begin",
            ProbeKind::End => "end",
            ProbeKind::Interval(_) => "interval",
            ProbeKind::Profile(_) => "profile",
            ProbeKind::Tracepoint { .. } => "tracepoint",
            ProbeKind::RawTracepoint { .. } => "rawtracepoint",
            ProbeKind::Kprobe { ret: false, .. } => "kprobe",
            ProbeKind::Kprobe { ret: true, .. } => "kretprobe",
            ProbeKind::Uprobe { ret: false, .. } => "uprobe",
            ProbeKind::Uprobe { ret: true, .. } => "uretprobe",
            ProbeKind::Software { .. } => "software",
            ProbeKind::Hardware { .. } => "hardware",
            ProbeKind::Usdt { .. } => "usdt",
            ProbeKind::Fentry { ret: false, .. } | ProbeKind::OfProgram { ret: false, .. } => {
                "fentry"
            }
            ProbeKind::Fentry { ret: true, .. } | ProbeKind::OfProgram { ret: true, .. } => "fexit",
            ProbeKind::Watchpoint { .. } => "watchpoint",
            ProbeKind::Iter { .. } => "iter",
            ProbeKind::Signal { .. } => "self",
            ProbeKind::Test(_) => "test",
            ProbeKind::Bench(_) => "bench",
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Period::Hertz(n) => write!(f, "hz:{n}"),
            Period::Nanoseconds(n) if n % 1_000_000_000 == 0 => {
                write!(f, "s:{}", n / 1_000_000_000)
            }
            Period::Nanoseconds(n) if n % 1_000_000 == 0 => write!(f, "ms:{}", n / 1_000_000),
            Period::Nanoseconds(n) => write!(f, "us:{}", n / 1_000),
        }
    }
}

impl fmt::Display for ProbeKind {
    /// What the builtin `probe` says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.type_name();
        match self {
            ProbeKind::Begin | ProbeKind::End => f.write_str(kind),
            ProbeKind::Interval(p) | ProbeKind::Profile(p) => write!(f, "{kind}:{p}"),
            ProbeKind::Tracepoint { category, name } => write!(f, "{kind}:{category}:{name}"),
            ProbeKind::RawTracepoint { name } => write!(f, "{kind}:{name}"),
            ProbeKind::Kprobe {
                function,
                offset: 0,
                ..
            } => write!(f, "{kind}:{function}"),
            ProbeKind::Kprobe {
                function, offset, ..
            } => write!(f, "{kind}:{function}+{offset}"),
            ProbeKind::Uprobe {
                path,
                target,
                offset,
                ..
            } => {
                write!(f, "{kind}:{path}:")?;
                match target {
                    UserTarget::Symbol(s) => f.write_str(s)?,
                    UserTarget::Address(a) => write!(f, "{a:#x}")?,
                }
                if *offset == 0 {
                    Ok(())
                } else {
                    write!(f, "+{offset}")
                }
            }
            ProbeKind::Usdt {
                path,
                provider,
                name,
                ..
            } => write!(f, "{kind}:{path}:{provider}:{name}"),
            ProbeKind::Fentry {
                module: Some(module),
                function,
                ..
            } => write!(f, "{kind}:{module}:{function}"),
            ProbeKind::Fentry { function, .. } => write!(f, "{kind}:{function}"),
            ProbeKind::OfProgram {
                program, function, ..
            } => write!(f, "{kind}:bpf:{program}:{function}"),
            ProbeKind::Watchpoint { address, len, mode } => {
                write!(f, "{kind}:{address:#x}:{len}:")?;
                for (bit, letter) in [(1, "r"), (2, "w"), (4, "x")] {
                    if mode & bit != 0 {
                        f.write_str(letter)?;
                    }
                }
                Ok(())
            }
            ProbeKind::Iter { kind: of, pin } => match pin {
                Some(pin) => write!(f, "{kind}:{of}:{pin}"),
                None => write!(f, "{kind}:{of}"),
            },
            ProbeKind::Signal { name, .. } => write!(f, "{kind}:signal:{name}"),
            ProbeKind::Test(name) | ProbeKind::Bench(name) => write!(f, "{kind}:{name}"),
            ProbeKind::Software { name, count, .. } | ProbeKind::Hardware { name, count, .. } => {
                write!(f, "{kind}:{name}:{count}")
            }
        }
    }
}

/// Splits an attach point and expands it.
///
/// # Errors
/// Unknown kinds and malformed or unknown targets, with what comes close.
pub fn expand(text: &str, span: Span, env: &Environment<'_>) -> Result<Vec<ProbeKind>, Diagnostic> {
    let parts = split(text);
    let kind = parts.first().copied().unwrap_or("");
    let row = ROWS
        .iter()
        .find(|r| r.names.contains(&kind))
        .ok_or_else(|| {
            Diagnostic::error(span, format!("unknown probe kind `{kind}`"))
                .suggest(kind, ROWS.iter().flat_map(|r| r.names.iter().copied()))
        })?;
    let point = Point {
        text,
        parts: parts[1..].to_vec(),
        span,
        row,
    };
    (row.expand)(&point, env)
}

/// Whether an attach point is one of those that no event fires.
pub(crate) fn by_hand(text: &str) -> bool {
    let kind = text.split(':').next().unwrap_or("");
    let rows = [
        &begin_end::BEGIN,
        &begin_end::END,
        &by_hand::TEST,
        &by_hand::BENCH,
    ];
    rows.iter().any(|r| r.names.contains(&kind))
}

/// Whether an attach point is a function by its name.
pub(crate) fn names_function(text: &str) -> bool {
    let kind = text.split(':').next().unwrap_or("");
    matches!(
        kind,
        "kprobe"
            | "k"
            | "kretprobe"
            | "kr"
            | "fentry"
            | "f"
            | "kfunc"
            | "fexit"
            | "fr"
            | "kretfunc"
            | "uprobe"
            | "u"
            | "uretprobe"
            | "ur"
    )
}

/// At colons, but not inside of quotes.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (i, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ':' if !quoted => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Shell-style wildcards: `*` any run of characters, `?` one.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (p, n) = (pattern.as_bytes(), name.as_bytes());
    let (mut i, mut j) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while j < n.len() {
        if i < p.len() && (p[i] == n[j] || p[i] == b'?') && p[i] != b'*' {
            i += 1;
            j += 1;
        } else if i < p.len() && p[i] == b'*' {
            star = Some((i, j));
            i += 1;
        } else if let Some((si, sj)) = star {
            i = si + 1;
            j = sj + 1;
            star = Some((si, sj + 1));
        } else {
            return false;
        }
    }
    p[i..].iter().all(|c| *c == b'*')
}

pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// `name+0x10`, `name+16`.
fn split_offset(text: &str) -> Option<(&str, u64)> {
    match text.split_once('+') {
        Some((name, offset)) => Some((name, number(offset)?)),
        None => Some((text, 0)),
    }
}

/// Decimal (with `_` and `e`), or hexadecimal.
fn number(text: &str) -> Option<u64> {
    match crate::lexer::token(text, 0).ok()?.tok {
        crate::lexer::Tok::Int(i) => Some(i.value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{FormatTable, NoFunctions};
    use crate::formats::Format;

    #[test]
    fn wildcards() {
        assert!(matches("sys_enter_*", "sys_enter_open"));
        assert!(matches("*open*", "sys_enter_openat"));
        assert!(matches("a?c", "abc") && !matches("a?c", "ac"));
        assert!(!matches("sys_enter_*", "sys_exit_open"));
        assert!(matches("*", "") && matches("a*b*c", "aXbYbZc"));
    }

    #[test]
    fn attach_points() {
        let mut t = FormatTable::new();
        for n in ["sys_enter_open", "sys_enter_openat", "sys_exit_open"] {
            t.insert(
                "syscalls",
                Format::parse(&format!(
                    "name: {n}\nfield:int x; offset:8; size:4; signed:1;"
                ))
                .unwrap(),
            );
        }
        let env = Environment::new(&t, &NoFunctions);
        let all = |text: &str| expand(text, Span::default(), &env);
        let names = |text: &str| {
            all(text)
                .unwrap()
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(names("BEGIN"), ["begin"]);
        assert_eq!(names("i:s:1"), ["interval:s:1"]);
        assert_eq!(names("interval:500ms"), ["interval:ms:500"]);
        assert_eq!(names("p:99"), ["profile:hz:99"]);
        assert_eq!(names("profile:hz:99"), ["profile:hz:99"]);
        assert_eq!(
            names("t:sys*:sys_enter_*"),
            [
                "tracepoint:syscalls:sys_enter_open",
                "tracepoint:syscalls:sys_enter_openat"
            ]
        );
        assert_eq!(names("kprobe:vfs_read+0x10"), ["kprobe:vfs_read+16"]);
        assert_eq!(
            names("ur:/bin/bash:readline"),
            ["uretprobe:/bin/bash:readline"]
        );
        let close = all("t:syscalls:sys_enter_opn")
            .unwrap_err()
            .to_string_hint();
        assert!(close.contains("sys_enter_open"), "{close}");
        for bad in [
            "",
            "nonsense",
            "i:s",
            "i:s:0",
            "i:s:x",
            "t:syscalls",
            "kprobe:",
            "u:/bin/bash",
            "t:none:none",
            "usdt:/x",
            "watchpoint:0:4:w",
            "self:signal:X",
        ] {
            assert!(all(bad).is_err(), "{bad}");
        }
    }

    impl Diagnostic {
        fn to_string_hint(&self) -> String {
            self.hint.clone().unwrap_or_default()
        }
    }
}
