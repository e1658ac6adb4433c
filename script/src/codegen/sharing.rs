//! Attach points of one probe whose programs come out the same → one program, attached to all of them.
//!
//! **Invariant:** only programs with the same instructions are shared, so nothing that a program says
//! depends on which of its places it is at, but what it asks the kernel: its cookie, its function.

use std::collections::HashMap;

use probity_isa::RawInsn;

use crate::hir::ProgramDef;
use crate::probes::{ProbeKind, UserTarget};
use crate::source::Span;

/// What programs have in common that are one.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Key {
    probe: (u32, u32),
    class: String,
    insns: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct Shared(HashMap<Key, usize>);

impl Shared {
    pub fn find(&self, key: &Key) -> Option<usize> {
        self.0.get(key).copied()
    }

    pub fn add(&mut self, key: Key, place: usize) {
        self.0.insert(key, place);
    }
}

pub(crate) fn key(
    def: &ProgramDef,
    kind: &ProbeKind,
    multi: bool,
    insns: &[RawInsn],
) -> Option<Key> {
    Some(Key {
        probe: ends(def.span),
        class: format!("{}{}", class(kind)?, if multi { " multi" } else { "" }),
        insns: probity_isa::to_bytes(insns),
    })
}

fn ends(span: Span) -> (u32, u32) {
    (span.start, span.end)
}

/// Which attach points of a probe one program can serve.
fn class(kind: &ProbeKind) -> Option<String> {
    Some(match kind {
        ProbeKind::Tracepoint { .. }
        | ProbeKind::RawTracepoint { .. }
        | ProbeKind::Kprobe { .. } => kind.type_name().to_string(),
        ProbeKind::Uprobe { path, .. } | ProbeKind::Usdt { path, .. } => {
            format!("{} {path}", kind.type_name())
        }
        _ => return None,
    })
}

/// Of the attach points of a script's probes (which probe, what), those that are attached with
/// others in one call.
pub(crate) fn multi(points: &[(usize, &ProbeKind)], sharing: crate::env::Sharing) -> Vec<bool> {
    let able = |kind: &ProbeKind| match kind {
        ProbeKind::Kprobe {
            function, offset, ..
        } => {
            sharing.kernel_multi && *offset == 0 && !function.contains(':') && !is_address(function)
        }
        ProbeKind::Uprobe { target, .. } => {
            sharing.user_multi && matches!(target, UserTarget::Symbol(_))
        }
        ProbeKind::Usdt { .. } => sharing.user_multi,
        _ => false,
    };
    let mut sizes: HashMap<(usize, String), usize> = HashMap::new();
    let group = |(probe, kind): &(usize, &ProbeKind)| {
        let class = class(kind).filter(|_| sharing.programs && able(kind))?;
        Some((*probe, class))
    };
    for key in points.iter().filter_map(group) {
        *sizes.entry(key).or_default() += 1;
    }
    points
        .iter()
        .map(|p| group(p).is_some_and(|key| sizes.get(&key).is_some_and(|n| *n > 1)))
        .collect()
}

/// A function that is an address.
pub(crate) fn is_address(function: &str) -> bool {
    function.starts_with("0x")
}

/// The section of a program that is attached to several places at once.
pub(crate) fn section(kind: &ProbeKind) -> Option<String> {
    match kind {
        ProbeKind::Kprobe { function, ret, .. } => {
            let kind = if *ret { "kretprobe" } else { "kprobe" };
            Some(format!("{kind}.multi/{function}"))
        }
        ProbeKind::Uprobe {
            path,
            target: UserTarget::Symbol(symbol),
            ret,
            ..
        } => {
            let kind = if *ret { "uretprobe" } else { "uprobe" };
            Some(format!("{kind}.multi/{path}:{symbol}"))
        }
        ProbeKind::Usdt { path, name, .. } => Some(format!("uprobe.multi/{path}:{name}")),
        _ => None,
    }
}
