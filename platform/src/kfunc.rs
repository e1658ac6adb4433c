//! What the kernel's types do not say of the kernel functions that programs call.

use crate::Version;

/// One kernel function; its prototype is in [`crate::Platform::types`].
#[derive(Clone, Debug)]
pub struct Kfunc {
    pub name: &'static str,
    pub flags: &'static [KfuncFlag],
    /// `enum bpf_prog_type`s that may call it; empty: all.
    pub kinds: &'static [u32],
    pub since: Version,
    /// Kernel source file that registers it.
    pub origin: &'static str,
}

/// The kernel's `KF_` flags (Documentation/bpf/kfuncs.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KfuncFlag {
    /// Gives a reference that the program must release.
    Acquire,
    /// Releases the reference it is given.
    Release,
    /// May give NULL.
    RetNull,
    /// Pointer arguments must be trusted or referenced.
    TrustedArgs,
    /// May sleep: only in sleepable programs.
    Sleepable,
    /// May take down the machine.
    Destructive,
    /// Pointer arguments must be trusted or under RCU protection.
    Rcu,
    /// Starts, steps and ends an iterator on the stack.
    IterNew,
    IterNext,
    IterDestroy,
    /// Only inside an RCU read section.
    RcuProtected,
}

impl Kfunc {
    pub fn has(&self, flag: KfuncFlag) -> bool {
        self.flags.contains(&flag)
    }

    /// May programs of this kind (`enum bpf_prog_type`) call it?
    pub fn allows(&self, prog_kind: u32) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&prog_kind)
    }
}
