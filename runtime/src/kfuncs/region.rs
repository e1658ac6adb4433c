//! Sections that the kernel must be told of and a process need not: RCU, preemption, interrupts.
//!
//! What a program holds stays valid until it returns, and a call is never interrupted by another on its thread.

use super::{Entry, entry};
use crate::{Call, arena};

pub(super) const ENTRIES: &[Entry] = &[
    entry("bpf_rcu_read_lock", "void (void)", nothing),
    entry("bpf_rcu_read_unlock", "void (void)", nothing),
    entry("bpf_preempt_disable", "void (void)", nothing),
    entry("bpf_preempt_enable", "void (void)", nothing),
    entry(
        "bpf_local_irq_save",
        "void (u64 *flags__irq_flag)",
        irq_save,
    ),
    entry(
        "bpf_local_irq_restore",
        "void (u64 *flags__irq_flag)",
        nothing,
    ),
];

unsafe extern "C" fn nothing(_: *mut Call<'_>, _: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    0
}

unsafe extern "C" fn irq_save(_: *mut Call<'_>, flags: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: 8 bytes, by the declaration.
    unsafe { arena::zero(flags as *mut u8, 8) };
    0
}
