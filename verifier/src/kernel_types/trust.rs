//! How far a pointer found behind a kernel structure is to be believed.
//!
//! - Behind a plain pointer: plain, as helpers have always taken it.
//! - Behind a trusted one: what the kernel's types say of the member (`STRUCT__safe_trusted`, `STRUCT__safe_rcu`, with
//!   `_or_null`, the tag `rcu`); any other is plain where RCU protects the program, and untrusted where not.
//! - Behind an untrusted one, or through a union: untrusted.
//!
//! **Invariant:** nothing but the kernel's own types makes a pointer that was found trusted.

use probity_btf::{Btf, Leaf, Type, TypeId};

use crate::env::Env;
use crate::state::State;
use crate::value::Trust;

/// RCU protects what the program finds: it does not sleep, or has said so.
pub(crate) fn in_rcu(env: &Env<'_>, state: &State) -> bool {
    !env.sleepable() || state.regions.rcu > 0
}

/// What a member that points to structure `to` gives, read through a pointer to structure `id` of this trust;
/// and whether it may be NULL.
pub(crate) fn walk(
    env: &Env<'_>,
    state: &State,
    types: &Btf,
    id: TypeId,
    leaf: &Leaf,
    pointee: TypeId,
    to: u32,
    trust: Trust,
) -> (Trust, bool) {
    let field = leaf.path.rsplit('.').next().unwrap_or_default();
    let listed = |suffix: &str| is_listed(types, id, field, to, suffix);
    match trust {
        Trust::Untrusted => (Trust::Untrusted, false),
        Trust::Plain => (Trust::Plain, false),
        Trust::Trusted | Trust::Rcu => {
            if listed("__safe_trusted") {
                (Trust::Trusted, false)
            } else if listed("__safe_trusted_or_null") {
                (Trust::Trusted, true)
            } else if !in_rcu(env, state) {
                (Trust::Untrusted, false)
            } else if listed("__safe_rcu") {
                (Trust::Rcu, false)
            } else if tagged_rcu(types, pointee) || listed("__safe_rcu_or_null") {
                (Trust::Rcu, true)
            } else {
                (Trust::Plain, false)
            }
        }
    }
}

/// Whether the types list the member of structure `id` under this suffix, with the same type.
fn is_listed(types: &Btf, id: TypeId, field: &str, to: u32, suffix: &str) -> bool {
    let name = types.name(id);
    if name.is_empty() || field.is_empty() {
        return false;
    }
    let Some(list) = types.find_struct(&[name, suffix].concat()) else {
        return false;
    };
    let member = types.members(list).named(field);
    let pointee = member.and_then(|m| types.pointee(m.ty));
    pointee.is_some_and(|p| types.resolve(p).0 == to)
}

fn tagged_rcu(types: &Btf, pointee: TypeId) -> bool {
    matches!(types.ty(pointee), Some(Type::TypeTag { value: "rcu", .. }))
}
