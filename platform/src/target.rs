//! Rows about the functions that programs attach to.

use crate::{Iterator, Replaceable, StructOps, TracepointArgs, WritableIn};

/// What depends on the name of a program's target. LSM hooks are named without `bpf_lsm_`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Targets {
    /// LSM hooks that programs may not implement.
    pub lsm_disabled: &'static [&'static str],
    /// LSM hooks that return 0 or 1, whatever their type says.
    pub lsm_bool: &'static [&'static str],
    /// LSM hooks for sleepable programs.
    pub lsm_sleepable: &'static [&'static str],
    /// LSM hooks whose arguments helpers do not take.
    pub lsm_untrusted: &'static [&'static str],
    /// Functions that no program attaches to.
    pub untraceable: &'static [&'static str],
    /// Functions that `fexit` and `fmod_ret` programs do not attach to.
    pub never_returning: &'static [&'static str],
    /// How the names of functions begin that `fmod_ret` programs may replace, as far as names tell.
    pub replaceable: &'static [&'static str],
    /// How the names of functions begin that sleepable tracing programs attach to, as far as names tell.
    pub sleepable: &'static [&'static str],
    /// Functions open to error injection that sleepable programs do not attach to all the same.
    pub injectable_without_sleep: &'static [&'static str],
    pub helpers: &'static [HelperTargets],
    /// Functions that `fmod_ret` programs may replace whatever they are called; ascending by name.
    pub fmod_ret: &'static [Replaceable],
    /// Structures that programs may implement; ascending by name.
    pub struct_ops: &'static [StructOps],
    /// Ascending by name.
    pub iterators: &'static [Iterator],
    /// Tracepoints some of whose arguments may be no pointers; ascending by name.
    pub tracepoints: &'static [TracepointArgs],
    /// Fields of kernel structures that some kinds of programs may write.
    pub writable: &'static [WritableIn],
}

/// A helper that programs of these attach types call for some targets only.
#[derive(Clone, Copy, Debug)]
pub struct HelperTargets {
    /// Without `bpf_`.
    pub helper: &'static str,
    /// `enum bpf_attach_type`s this row is for.
    pub attach: &'static [u32],
    pub names: &'static [&'static str],
    /// Instead of `names`: any target whose name does not begin so.
    pub unless: Option<&'static str>,
}

impl Targets {
    pub fn fmod_ret(&self, name: &str) -> Option<&'static Replaceable> {
        let at = self.fmod_ret.binary_search_by_key(&name, |r| r.name).ok()?;
        self.fmod_ret.get(at)
    }

    pub fn struct_ops(&self, name: &str) -> Option<&'static StructOps> {
        let at = self
            .struct_ops
            .binary_search_by_key(&name, |s| s.name)
            .ok()?;
        self.struct_ops.get(at)
    }

    pub fn iterator(&self, name: &str) -> Option<&'static Iterator> {
        let at = self
            .iterators
            .binary_search_by_key(&name, |i| i.name)
            .ok()?;
        self.iterators.get(at)
    }

    pub fn tracepoint(&self, name: &str) -> Option<&'static TracepointArgs> {
        let at = self
            .tracepoints
            .binary_search_by_key(&name, |t| t.name)
            .ok()?;
        self.tracepoints.get(at)
    }

    /// May a program attached so to `target` call the helper, if its kind may at all?
    pub fn allow(&self, helper: &str, attach: Option<u32>, target: &str) -> bool {
        self.helpers
            .iter()
            .filter(|h| h.helper == helper && attach.is_some_and(|a| h.attach.contains(&a)))
            .all(|h| match h.unless {
                Some(start) => !target.starts_with(start),
                None => h.names.contains(&target),
            })
    }
}
