//! A function's prototype → the words of a context.

use probity_btf::{Btf, Type, TypeId};

use super::{Argument, Gives};
use crate::reject::{Outcome, fail, unsupported};
use crate::report::Rule;

/// A kernel function's parameters and result.
#[derive(Clone, Debug)]
pub(super) struct Prototype<'a> {
    /// Names and types.
    pub params: Vec<(&'a str, TypeId)>,
    pub ret: TypeId,
}

/// `MAX_BPF_FUNC_ARGS`.
const MAX_ARGS: usize = 12;

impl<'a> Prototype<'a> {
    /// Of a `FUNC` or a `FUNC_PROTO`.
    pub(super) fn of(types: &'a Btf, id: TypeId) -> Option<Prototype<'a>> {
        let id = match types.resolved(id)? {
            Type::Func { proto, .. } => proto,
            Type::FuncProto { .. } => types.resolve(id),
            _ => return None,
        };
        match types.ty(id)? {
            Type::FuncProto { ret, params } => Some(Prototype {
                params: params.iter().map(|p| (p.name, p.ty)).collect(),
                ret,
            }),
            _ => None,
        }
    }

    /// The arguments as words; `pointer` says what a pointer to a structure is, by the argument's index and name.
    pub(super) fn arguments(
        &self,
        types: &Btf,
        pointer: &mut dyn FnMut(usize, &str, u32) -> Gives,
    ) -> Outcome<Vec<Argument>> {
        let must = "the target is a function that programs may be attached to";
        let refuse = |known: &str| Err(fail(Rule::ProgramKind, must, known));
        if self.params.len() > MAX_ARGS {
            return refuse(&format!("it has {} arguments", self.params.len()));
        }
        let mut args = Vec::with_capacity(self.params.len());
        let mut at = 0;
        for (index, (name, ty)) in self.params.iter().enumerate() {
            let size = match types.resolved(*ty) {
                Some(Type::Void) | None => {
                    return refuse("it takes a variable number of arguments");
                }
                Some(Type::Ptr(_)) => 8,
                Some(
                    Type::Int { .. }
                    | Type::Enum(_)
                    | Type::Enum64(_)
                    | Type::Struct(_)
                    | Type::Union(_),
                ) => i64::from(types.size_of(*ty).unwrap_or(u32::MAX)),
                Some(_) => return refuse(&format!("argument {} is of an odd type", index + 1)),
            };
            if size > 16 {
                return refuse(&format!("argument {} is of {size} bytes", index + 1));
            }
            let words = size.max(1).div_euclid(8) + i64::from(size.max(1) % 8 != 0);
            args.push(Argument {
                at,
                size: words * 8,
                gives: gives(types, *ty, &mut |to| pointer(index, name, to)),
            });
            at += words * 8;
        }
        match at > MAX_ARGS as i64 * 8 {
            true => Err(unsupported(
                "targets whose arguments take more than 12 words",
            )),
            false => Ok(args),
        }
    }
}

/// What a load of a value of this type gives.
pub(super) fn gives(types: &Btf, ty: TypeId, pointer: &mut dyn FnMut(u32) -> Gives) -> Gives {
    match types.resolved(ty) {
        Some(Type::Int { .. } | Type::Enum(_) | Type::Enum64(_) | Type::Struct(_)) => Gives::Number,
        Some(Type::Ptr(to)) => {
            // Memory of user space, and of each CPU, is not read through the pointer itself.
            if let Some(Type::TypeTag { value, .. }) = types.ty(to)
                && matches!(value, "user" | "percpu")
            {
                return Gives::Address;
            }
            let id = types.resolve(to);
            match types.ty(id) {
                Some(Type::Struct(_) | Type::Union(_)) => pointer(id.0),
                Some(Type::Int { .. } | Type::Void) | None => Gives::Address,
                _ => Gives::Refused,
            }
        }
        _ => Gives::Refused,
    }
}
