//! What can go wrong between a proof and a running program.

use std::fmt;
use std::io;

/// Linux's verdict beside ours, for a program that we accepted and Linux refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub program: String,
    /// Instructions that our verifier visited before it accepted.
    pub our_processed: usize,
    pub errno: Option<i32>,
    pub reason: String,
    /// The line of Linux's log that says why.
    pub telling: String,
    /// The whole log.
    pub log: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: Probity accepts it ({} instructions visited), Linux refuses it: {}",
            self.program, self.our_processed, self.reason
        )?;
        if !self.telling.is_empty() {
            write!(f, "\n  Linux says: {}", self.telling)?;
        }
        if self.errno == Some(libc::EPERM) && self.log.is_empty() {
            write!(
                f,
                "\n  (an empty log: not a verdict but a missing privilege or kernel feature)"
            )?;
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "attaching needs root, or CAP_BPF with CAP_PERFMON (CAP_NET_ADMIN for network programs)"
    )]
    NoPrivilege,
    #[error("{0}")]
    Refused(Box<Refusal>),
    #[error("Linux does not accept the maps or the object: {0}")]
    Object(String),
    #[error("program `{program}` cannot be loaded from here: {why}")]
    Unsupported { program: String, why: String },
    #[error("no program `{0}` in the object")]
    NoProgram(String),
    #[error("no map `{0}` in the object")]
    NoMap(String),
    #[error("program `{program}` does not say where to attach: {need}")]
    NoTarget { program: String, need: &'static str },
    #[error("cannot attach `{program}` to {target}: {why}")]
    Attach {
        program: String,
        target: String,
        why: String,
    },
    #[error("map `{map}`: {what}: {source}")]
    Map {
        map: String,
        what: &'static str,
        source: io::Error,
    },
    #[error("cannot write the object for the kernel: {0}")]
    Write(String),
    #[error("{what}: {source}")]
    Io {
        what: &'static str,
        source: io::Error,
    },
}

/// The line of the kernel's log that says why: the last that is not bookkeeping.
pub(crate) fn telling_line(log: &str) -> String {
    let bookkeeping = |line: &str| {
        let line = line.trim();
        line.is_empty()
            || line.starts_with("processed ")
            || line.starts_with("verification time")
            || line.starts_with("stack depth")
            || line.starts_with(';')
            || line
                .split(':')
                .next()
                .is_some_and(|pc| !pc.is_empty() && pc.bytes().all(|b| b.is_ascii_digit()))
    };
    log.lines()
        .rev()
        .find(|l| !bookkeeping(l))
        .unwrap_or("")
        .trim()
        .to_string()
}

/// An error with what caused it, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        let more = e.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = e.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_telling_line_is_the_verdict() {
        let log = "0: R1=ctx() R10=fp0\n; return ctx->x; @ a.c:3\n0: (61) r0 = *(u32 *)(r1 +24)\n\
                   invalid bpf_context access off=24 size=4\nprocessed 1 insns (limit 1000000)\n";
        assert_eq!(
            telling_line(log),
            "invalid bpf_context access off=24 size=4"
        );
        assert_eq!(telling_line(""), "");
    }
}
