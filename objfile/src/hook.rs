//! A program's section name, parsed: what kind of program it is and where it wants to be attached.

use std::fmt;

/// Program kinds by their number in `enum bpf_prog_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProgType(pub u32);

/// `enum bpf_attach_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttachType(pub u32);

/// Where a program asks to be attached, from its section name (libbpf's spellings).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The section name as it stands in the object, with `?` when there is one.
    pub section: String,
    /// Leading `?`: not loaded unless asked for.
    pub optional: bool,
    /// `.s` spellings.
    pub sleepable: bool,
    /// `None` when the section name says nothing (`.text`, unknown names).
    pub prog_type: Option<ProgType>,
    pub attach_type: Option<AttachType>,
    pub target: Target,
}

/// The part of a section name after the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    None,
    /// `tp/CATEGORY/NAME`.
    Tracepoint { category: String, name: String },
    /// `raw_tp/NAME`, `tp_btf/NAME`.
    RawTracepoint { name: String },
    /// `kprobe/FUNC+OFF` and `kretprobe/`, `fentry/`, `fexit/`, `lsm/`, `ksyscall/`, `iter/`, `struct_ops/` …: one kernel name.
    Function { name: String, offset: u64, ret: bool },
    /// `kprobe.multi/PATTERN`.
    FunctionPattern { pattern: String, ret: bool },
    /// `uprobe/PATH:FUNC+OFF`, multi: `FUNC` may be a pattern.
    User { path: String, function: String, offset: u64, ret: bool, multi: bool },
    /// `usdt/PATH:PROVIDER:NAME`.
    Usdt { path: String, provider: String, name: String },
    /// Anything else after the slash (freplace targets, cgroup hooks with a free name …).
    Text(String),
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.section)
    }
}
