//! A program that an initialiser of a `struct_ops` variable names → the context of that member.
//!
//! Source: libbpf's rules of how a program finds its member, and the kernel's of what a member's arguments are.

use probity_btf::{Btf, Type, TypeId, essential_name};
use probity_objfile::{Object, Program};
use probity_platform::{Platform, StructOps};

use super::prototype::Prototype;
use super::{Gives, NULLABLE, Returned, TypedContext, missing, structure};
use crate::reject::{Outcome, fail, unsupported};
use crate::report::Rule;
use crate::value::Trust;

/// How the name of a stub's parameter ends whose reference the program is given.
const REFERENCE: &str = "__ref";

pub(super) fn context(
    platform: &Platform,
    types: &Btf,
    object: &Object,
    program: &Program,
) -> Outcome<TypedContext> {
    let (ops, member) = member_of(object, &program.name)?;
    let Some(id) = types.find_struct(&ops) else {
        return Err(missing(&ops));
    };
    let proto = member_prototype(types, id, &ops, &member)?;
    let Some(row) = platform.targets.struct_ops(&ops) else {
        // What the kernel lets programs implement has a structure for its map.
        return Err(match types.find_struct(&format!("bpf_struct_ops_{ops}")) {
            Some(_) => unsupported(&format!("programs that implement `struct {ops}`")),
            None => refuse(&format!(
                "`struct {ops}` is not one that programs implement"
            )),
        });
    };
    if row.unsupported.contains(&member.as_str()) {
        return Err(refuse(&format!(
            "the kernel calls no program for `{ops}.{member}`"
        )));
    }
    let sleeps = row
        .sleepable
        .is_none_or(|all| all.contains(&member.as_str()));
    if program.hook.sleepable && !sleeps {
        return Err(refuse(&format!("`{ops}.{member}` does not sleep")));
    }
    let stub = stub(types, row, &member, &proto);
    let mut args = proto.arguments(types, &mut |index, _, to| {
        let name = types.name(TypeId(to));
        let to = match row.promote(name) {
            same if same == name => to,
            other => types.find_struct(other).map_or(to, |id| id.0),
        };
        let suffix = |end: &str| {
            stub.as_ref()
                .and_then(|s| s.params.get(index))
                .is_some_and(|(name, _)| name.ends_with(end))
        };
        match structure(to, Trust::Trusted, suffix(NULLABLE)) {
            Gives::Structure {
                type_id,
                trust,
                null,
                reference,
                ..
            } => Gives::Structure {
                type_id,
                trust,
                null,
                acquired: suffix(REFERENCE),
                reference,
            },
            other => other,
        }
    })?;
    for (of, index, name) in row.retyped {
        if *of == member
            && let (Some(arg), Some(id)) = (args.get_mut(*index), types.find_struct(name))
        {
            arg.gives = structure(id.0, Trust::Trusted, false);
        }
    }
    let returned = match types.resolved(proto.ret) {
        Some(Type::Void) | None => Returned::Nothing,
        Some(Type::Ptr(to)) => match types.resolved(to) {
            Some(Type::Struct(_) | Type::Union(_)) => Returned::Pointer {
                type_id: types.resolve(to).0,
            },
            _ => Returned::Only(0),
        },
        _ => Returned::Integer,
    };
    Ok(TypedContext {
        args,
        ret: None,
        returned,
        low_half: false,
        ops: Some(row),
        name: member,
    })
}

fn refuse(known: &str) -> Box<crate::reject::Failure> {
    let must = "the program implements a member of a structure that the kernel takes from programs";
    fail(Rule::ProgramKind, must, known)
}

/// The kernel's structure and the member that the program is named for in the object's variables.
fn member_of(object: &Object, program: &str) -> Outcome<(String, String)> {
    let mut found: Option<(String, String)> = None;
    for ops in &object.struct_ops {
        for (member, name) in &ops.members {
            if name != program {
                continue;
            }
            let this = (
                essential_name(&ops.type_name).to_string(),
                essential_name(member).to_string(),
            );
            match &found {
                Some(other) if *other != this => {
                    return Err(refuse(&format!(
                        "it is named for `{}.{}` and for `{}.{}`",
                        other.0, other.1, this.0, this.1
                    )));
                }
                _ => found = Some(this),
            }
        }
    }
    found.ok_or_else(|| refuse("no variable in `.struct_ops` names it"))
}

fn member_prototype<'a>(
    types: &'a Btf,
    id: TypeId,
    ops: &str,
    member: &str,
) -> Outcome<Prototype<'a>> {
    let found = types.members(id).named(member);
    let Some(m) = found else {
        return Err(missing(&format!("{ops}.{member}")));
    };
    types
        .pointee(m.ty)
        .and_then(|p| Prototype::of(types, p))
        .ok_or_else(|| refuse(&format!("`{ops}.{member}` is not a function")))
}

/// The function that stands in for the member where no program does, if its parameters are the member's.
fn stub<'a>(
    types: &'a Btf,
    row: &StructOps,
    member: &str,
    proto: &Prototype<'_>,
) -> Option<Prototype<'a>> {
    row.stubs
        .iter()
        .filter_map(|prefix| types.find_func(&[prefix, member].concat()))
        .filter_map(|f| Prototype::of(types, f))
        .find(|s| s.params.len() == proto.params.len())
}
