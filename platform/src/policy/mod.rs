//! What a site allows of what a platform offers.
//!
//! **Invariant:** a policy only narrows: nothing becomes acceptable through one.

mod file;

use std::fmt;

pub use file::PolicyError;

use crate::Limits;

/// Narrows a [`crate::Platform`]; the default narrows nothing.
///
/// Its [`Display`](fmt::Display) is the TOML that [`Policy::from_toml`] reads back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Allowed helpers by name without `bpf_`; `None`: all.
    pub helpers: Option<Vec<String>>,
    /// Allowed kernel functions by name.
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
    /// Instructions that one run of a program executes at most; a program without a bound is not allowed.
    pub max_worst_case_insns: Option<u64>,
    /// Bytes.
    pub max_stack: Option<usize>,
    /// Compiled loops compare the host's epoch, so that a host can end a call by the clock.
    pub epoch_checks: bool,
    /// Allowed licences, as objects state them in their `license` section.
    pub licenses: Option<Vec<String>>,
}

impl Policy {
    /// With or without the leading `bpf_`.
    pub fn allows_helper(&self, name: &str) -> bool {
        allows(&self.helpers, short(name))
    }

    pub fn allows_kfunc(&self, name: &str) -> bool {
        allows(&self.kfuncs, name)
    }

    pub fn allows_map_kind(&self, name: &str) -> bool {
        allows(&self.map_kinds, name)
    }

    pub fn allows_prog_kind(&self, name: &str) -> bool {
        allows(&self.prog_kinds, name)
    }

    pub fn allows_license(&self, license: &str) -> bool {
        allows(&self.licenses, license)
    }

    /// Are entries and bytes of such a map within bounds?
    pub fn allows_map_size(&self, key_size: u32, value_size: u32, max_entries: u32) -> bool {
        // Two 32-bit numbers and a 32-bit factor cannot overflow 128 bits.
        let bytes = u128::from(max_entries) * (u128::from(key_size) + u128::from(value_size));
        self.max_map_entries.is_none_or(|max| max_entries <= max)
            && self
                .max_map_bytes
                .is_none_or(|max| bytes <= u128::from(max))
    }

    /// A platform's limits, narrowed.
    pub fn narrow(&self, limits: Limits) -> Limits {
        Limits {
            program_slots: least(limits.program_slots, self.max_insns),
            processed: least(limits.processed, self.max_processed),
            stack_bytes: least(limits.stack_bytes, self.max_stack),
            ..limits
        }
    }
}

fn allows(list: &Option<Vec<String>>, name: &str) -> bool {
    list.as_ref()
        .is_none_or(|names| names.iter().any(|n| n == name))
}

fn least(platform: usize, policy: Option<usize>) -> usize {
    policy.map_or(platform, |max| max.min(platform))
}

fn short(helper: &str) -> &str {
    helper.strip_prefix("bpf_").unwrap_or(helper)
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("helpers", &self.helpers),
            ("kfuncs", &self.kfuncs),
            ("map_kinds", &self.map_kinds),
            ("prog_kinds", &self.prog_kinds),
            ("licenses", &self.licenses),
        ];
        for (key, names) in lists {
            let Some(names) = names else { continue };
            let names: Vec<String> = names
                .iter()
                .map(|n| toml::Value::String(n.clone()).to_string())
                .collect();
            writeln!(f, "{key} = [{}]", names.join(", "))?;
        }
        let numbers = [
            ("max_map_bytes", self.max_map_bytes),
            ("max_map_entries", self.max_map_entries.map(u64::from)),
            ("max_insns", self.max_insns.map(|n| n as u64)),
            ("max_processed", self.max_processed.map(|n| n as u64)),
            ("max_worst_case_insns", self.max_worst_case_insns),
            ("max_stack", self.max_stack.map(|n| n as u64)),
        ];
        for (key, number) in numbers {
            let Some(number) = number else { continue };
            writeln!(f, "{key} = {number}")?;
        }
        if self.epoch_checks {
            writeln!(f, "epoch_checks = true")?;
        }
        Ok(())
    }
}
