//! May a program be attached to a kernel function? By name where Linux goes by name.
//!
//! What Linux knows from lists that are not in its types is refused as such.

use probity_platform::Platform;

use super::{LSM_CGROUP, LSM_MAC, MODIFY_RETURN, TRACE_FENTRY, TRACE_FEXIT, missing};
use crate::reject::{Outcome, fail, unsupported};
use crate::report::Rule;

pub(super) fn check(
    platform: &Platform,
    name: &str,
    attach: Option<u32>,
    sleepable: bool,
) -> Outcome<()> {
    let lists = &platform.targets;
    let exists = || match platform.types.as_deref() {
        Some(types) if types.find_func(name).is_none() => Err(missing(name)),
        _ => Ok(()),
    };
    let open = platform
        .injectable
        .as_ref()
        .is_some_and(|all| all.contains(name));
    let begins = |all: &[&str]| all.iter().any(|p| name.starts_with(p));
    let refuse = |known: String| {
        let must = "the program may be attached to its target";
        Err(fail(Rule::ProgramKind, must, &known))
    };
    match attach {
        Some(LSM_MAC | LSM_CGROUP) => {
            if lists.lsm_disabled.contains(&name) {
                return refuse(format!("the hook `{name}` is not for programs"));
            }
            if sleepable && !lists.lsm_sleepable.contains(&name) {
                return refuse(format!("the hook `{name}` is not for sleepable programs"));
            }
        }
        Some(TRACE_FENTRY | TRACE_FEXIT | MODIFY_RETURN) => {
            if lists.untraceable.contains(&name) {
                return refuse(format!("`{name}` is not for programs"));
            }
            if attach != Some(TRACE_FENTRY) && lists.never_returning.contains(&name) {
                return refuse(format!("`{name}` does not return"));
            }
            let row = lists.fmod_ret(name);
            // System calls are open where the kernel's list, if it is known, says so.
            let call = begins(lists.sleepable);
            let security = begins(lists.replaceable) && !(call && platform.injectable.is_some());
            if attach == Some(MODIFY_RETURN) && row.is_none() && !open && !security {
                exists()?;
                if platform.injectable.is_some() {
                    return refuse(format!("`{name}` is not open to error injection"));
                }
                return Err(unsupported(&format!(
                    "fmod_ret on `{name}` (whether it is open to error injection is not in the kernel's types)"
                )));
            }
            let sleeps = row.is_some_and(|r| r.sleepable)
                || call && platform.injectable.is_none()
                || open && !lists.injectable_without_sleep.contains(&name);
            if sleepable && !sleeps {
                exists()?;
                if platform.injectable.is_some() {
                    return refuse(format!("`{name}` may not sleep"));
                }
                return Err(unsupported(&format!(
                    "sleepable programs on `{name}` (whether it may sleep is not in the kernel's types)"
                )));
            }
        }
        _ => {}
    }
    Ok(())
}
