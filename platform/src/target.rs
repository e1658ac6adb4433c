//! Rows about the functions that programs attach to.

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
    pub helpers: &'static [HelperTargets],
}

/// A helper that programs of these attach types call for some targets only.
#[derive(Clone, Copy, Debug)]
pub struct HelperTargets {
    /// Without `bpf_`.
    pub helper: &'static str,
    /// `enum bpf_attach_type`s this row is for.
    pub attach: &'static [u32],
    pub names: &'static [&'static str],
}

impl Targets {
    /// May a program attached so to `target` call the helper, if its kind may at all?
    pub fn allow(&self, helper: &str, attach: Option<u32>, target: &str) -> bool {
        self.helpers
            .iter()
            .filter(|h| h.helper == helper && attach.is_some_and(|a| h.attach.contains(&a)))
            .all(|h| h.names.contains(&target))
    }
}
