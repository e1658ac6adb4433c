//! Calls of kernel functions (kfuncs): by their prototype in the kernel's types and their row in the platform.
//!
//! **Invariant:** no kernel function is named here; what neither prototype nor flags say is a
//! [`probity_platform::KfuncSpecial`] of its row.

use probity_btf::TypeId;
use probity_isa::Pc;
use probity_platform::{Kfunc, KfuncFlag};

use crate::call::Next;
use crate::env::Env;
use crate::reject::{Explain, Outcome, fail, unsupported};
use crate::report::Rule;
use crate::state::State;

/// A call of the kernel function whose `FUNC` has this id in the platform's types.
pub(crate) fn call(env: &mut Env<'_>, state: &mut State, pc: Pc, id: u32) -> Outcome<Next> {
    if let Some(p) = env.poisoned.iter().find(|p| p.pc == pc) {
        let must = "every relocation that can be reached finds its target";
        return Err(fail(Rule::FailedRelocation, must, &p.what));
    }
    let platform = env.platform;
    let name = platform
        .types
        .as_deref()
        .map(|t| t.name(TypeId(id)))
        .unwrap_or_default();
    let Some(row) = platform.kfunc(name) else {
        let known = format!("kernel function `{name}` (type {id}) is none that programs may call");
        let must = "the kernel function is one of the platform's";
        return Err(fail(Rule::CallNotAllowed, must, &known));
    };
    allowed(env, row)?;
    let _ = state;
    Err(unsupported(&format!(
        "the kernel function (kfunc) `{name}`"
    )))
}

/// May this program call it at all?
fn allowed(env: &Env<'_>, row: &Kfunc) -> Outcome<()> {
    let name = row.name;
    if !row.allows(env.kind.kind) {
        let known = format!("`{}` programs may not call {name}", env.kind.name);
        let must = "the program kind may call the kernel function";
        return Err(fail(Rule::CallNotAllowed, must, &known));
    }
    if !env.policy.allows_kfunc(name) {
        let known = format!("{name} is not on its list");
        let must = "the policy allows the kernel function";
        return Err(fail(Rule::Policy, must, &known));
    }
    if !env.gpl {
        let license = env.object.license.as_deref().unwrap_or("none");
        let known = format!("{name} is one; the licence is `{license}`");
        let must = "only GPL-compatible programs call kernel functions";
        return Err(fail(Rule::License, must, &known)
            .hint("declare `char LICENSE[] SEC(\"license\") = \"GPL\";`"));
    }
    if row.has(KfuncFlag::Sleepable) && !env.sleepable() {
        let known = format!("{name} may sleep");
        let must = "only sleepable programs call kernel functions that sleep";
        return Err(fail(Rule::CallNotAllowed, must, &known));
    }
    Ok(())
}
