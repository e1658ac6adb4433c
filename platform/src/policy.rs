//! What a site allows of what a platform offers.

/// Narrows a [`crate::Platform`]; the default narrows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Allowed helpers by name without `bpf_`; `None`: all.
    pub helpers: Option<Vec<String>>,
    pub kfuncs: Option<Vec<String>>,
    pub map_kinds: Option<Vec<String>>,
    pub prog_kinds: Option<Vec<String>>,
    /// Bytes of one map: `max_entries × (key + value)`.
    pub max_map_bytes: Option<u64>,
    pub max_map_entries: Option<u32>,
    /// Slots of one program.
    pub max_insns: Option<usize>,
    /// Instructions visited in verification.
    pub max_processed: Option<usize>,
    /// Bytes.
    pub max_stack: Option<usize>,
    /// Refuse programs without a GPL-compatible licence, or helpers that need one.
    pub licenses: Option<Vec<String>>,
}
