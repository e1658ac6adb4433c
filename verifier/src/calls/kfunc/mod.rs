//! Calls of kernel functions (kfuncs): by their prototype in the kernel's types and their row in the platform.
//!
//! As with helpers, a call's arguments are checked first and what the call will do is gathered in [`Found`];
//! only then does the state change.
//!
//! **Invariant:** no kernel function is named here; what neither prototype nor flags say is a
//! [`probity_platform::KfuncSpecial`] of its row.

mod args;
mod contexts;
mod effects;
mod prototype;
mod result;
mod rows;

use std::rc::Rc;

use probity_btf::{Btf, TypeId};
use probity_isa::{Pc, Reg};
use probity_platform::{Kfunc, KfuncFlag, KfuncSpecial};

use crate::args::StackWrite;
use crate::call::{self, Next};
use crate::env::Env;
use crate::reject::{Explain, Outcome, fail, unsupported};
use crate::report::Rule;
use crate::state::State;
use crate::timer::MapOf;
use crate::value::{Id, MapRef};
use crate::{alloc, dynptr, irq, iter};

pub(crate) use contexts::Contexts;
pub(crate) use prototype::{Param, ParamKind, Prototype};
pub(crate) use rows::{Rows, any, row};

/// What is known of a call before its arguments are looked at.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    pub pc: Pc,
    pub row: &'a Kfunc,
    pub types: &'a Btf,
    pub proto: Rc<Prototype>,
}

/// What the arguments of one call are, and what the call will do.
#[derive(Default)]
pub(crate) struct Found {
    /// A number that the prototype wants known (`__k`, `__szk`).
    pub constant: Option<u64>,
    /// Size of the memory that the call gives, and whether it may be written.
    pub buffer: Option<(u32, bool)>,
    pub map: Option<MapRef>,
    /// The field that names its map.
    pub field: Option<MapOf>,
    /// The reference of the last argument that carries one.
    pub reference: Id,
    /// What the last argument lies in that lies in something.
    pub parent: Id,
    /// The reference that ends.
    pub release: Option<Id>,
    /// Stack bytes that the function writes.
    pub writes: Vec<StackWrite>,
    /// The subprogram given.
    pub callback: Option<usize>,
    pub dynptr: dynptr::Found,
    pub iter: iter::Found,
    pub irq: irq::Found,
}

/// A call of the kernel function whose `FUNC` has this id in the platform's types.
pub(crate) fn call(env: &mut Env<'_>, state: &mut State, pc: Pc, id: u32) -> Outcome<Next> {
    if let Some(p) = env.poisoned.iter().find(|p| p.pc == pc) {
        let must = "every relocation that can be reached finds its target";
        return Err(fail(Rule::FailedRelocation, must, &p.what));
    }
    let platform = env.platform;
    let types = platform.types.as_deref();
    let (Some(types), Some(row)) = (types, env.kfunc_rows.get(id)) else {
        let name = types.map(|t| t.name(TypeId(id))).unwrap_or_default();
        let known = format!("kernel function `{name}` (type {id}) is none that programs may call");
        let must = "the kernel function is one of the platform's";
        return Err(fail(Rule::CallNotAllowed, must, &known));
    };
    allowed(env, row)?;
    let Some(proto) = known(env, types, row, id) else {
        let name = row.name;
        return Err(unsupported(&format!(
            "the kernel function (kfunc) `{name}`, which has no prototype"
        )));
    };
    let call = Call {
        pc,
        row,
        types,
        proto,
    };
    effects::within_regions(env, state, &call)?;
    if let Some(next) = alloc::special(env, state, &call)? {
        return Ok(next);
    }
    let found = args::check(env, state, &call)?;
    let value = result::result(env, state, &call, &found)?;
    effects::apply(env, state, &call, &found, value)?;
    if row.special == Some(KfuncSpecial::Throw) {
        return crate::exception::throw(env, state);
    }
    call::finish(state, pc, value);
    effects::after(env, state, &call, &found)
}

/// The function's prototype as this program sees it.
fn known<'a>(env: &mut Env<'a>, types: &'a Btf, row: &Kfunc, id: u32) -> Option<Rc<Prototype>> {
    if let Some(known) = env.kfuncs.get(&id) {
        return Some(known.clone());
    }
    let is_context = |name: &str| env.contexts.has(env.kind, name);
    let proto = prototype::prototype(types, TypeId(id), row, &is_context)?;
    let proto = Rc::new(proto);
    env.kfuncs.insert(id, proto.clone());
    Some(proto)
}

/// Arguments that a call reads, for liveness: all, where the function is not known.
pub(crate) fn arguments(types: Option<&Btf>, id: u32) -> usize {
    let proto = types.and_then(|t| t.ty(t.proto(TypeId(id))?));
    match proto {
        Some(probity_btf::Type::FuncProto { params, .. }) => params.len(),
        _ => call::ARGS.len(),
    }
}

/// May this program call it at all?
fn allowed(env: &Env<'_>, row: &Kfunc) -> Outcome<()> {
    let name = row.name;
    if !row.allows(env.kind.kind) {
        let known = format!("`{}` programs may not call {name}", env.kind.name);
        let must = "the program kind may call the kernel function";
        return Err(fail(Rule::CallNotAllowed, must, &known));
    }
    let attach = env.attach_type().or(env.kind.default_attach);
    if !row.allows_attached(attach, env.sleepable()) {
        let known = format!("{name} is not for programs attached as this one");
        let must = "the program's target allows the kernel function";
        return Err(fail(Rule::CallNotAllowed, must, &known));
    }
    if row.special == Some(KfuncSpecial::DeviceBound) {
        let known = format!("{name} is for such, and this program is for any device");
        let must = "only programs bound to one device read what it says of packets";
        return Err(fail(Rule::CallNotAllowed, must, &known));
    }
    if !env.policy.allows_kfunc(name) {
        let known = format!("{name} is not on its list");
        let must = "the policy allows the kernel function";
        return Err(fail(Rule::Policy, must, &known));
    }
    if !env.gpl && !row.has(KfuncFlag::AnyLicense) {
        let license = env.object.license.as_deref().unwrap_or("none");
        let known = format!("{name} is one; the licence is `{license}`");
        let must = "only GPL-compatible programs call kernel functions";
        return Err(fail(Rule::License, must, &known).hint(crate::call::DECLARE_LICENSE));
    }
    if let Some(KfuncSpecial::SleepableOr { kinds, attach }) = row.special
        && !env.sleepable()
        && !kinds.contains(&env.kind.kind)
        && !env.attach_type().is_some_and(|a| attach.contains(&a))
    {
        let must = format!("{name} is called where no lock is taken in interrupts");
        let known = format!("a `{}` program that does not sleep may not", env.kind.name);
        return Err(fail(Rule::CallNotAllowed, &must, &known));
    }
    if row.has(KfuncFlag::Sleepable) && !env.sleepable() {
        let known = format!("{name} may sleep");
        let must = "only sleepable programs call kernel functions that sleep";
        return Err(fail(Rule::CallNotAllowed, must, &known));
    }
    Ok(())
}

/// The argument in `reg` is not what the function takes.
pub(crate) fn wrong(
    env: &Env<'_>,
    state: &State,
    call: &Call<'_>,
    reg: Reg,
    what: &str,
) -> Box<crate::reject::Failure> {
    let known = crate::args::known_argument(env, reg, state.reg(reg));
    let index = reg.index();
    let must = format!("argument {index} of {} is {what}", call.row.name);
    fail(Rule::BadArgument, &must, &known).about(reg)
}
