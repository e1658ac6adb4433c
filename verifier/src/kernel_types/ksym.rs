//! Variables and functions of the kernel by their address (`__ksym`).
//!
//! - A structure is a plain kernel pointer, anything else read-only memory of its size.
//! - A variable of each CPU is a pointer that only the helpers take which find one CPU's.
//! - A function's address says that it exists, and leads nowhere.
//!
//! **Invariant:** an address that only the running kernel knows is an unknown number.

use probity_btf::{Btf, Type, TypeId};

use crate::env::Env;
use crate::reject::{Outcome, fail, unsupported};
use crate::report::Rule;
use crate::value::{Pointer, To, Trust, Value};

/// Where the kernel's types list the variables that each CPU has.
const PERCPU: &str = ".data..percpu";

/// What the address of the type `id` of the kernel gives: a `VAR`, a `FUNC`, or 0 for a symbol without a type.
pub(crate) fn address(env: &Env<'_>, id: u32, module: u32) -> Outcome<Value> {
    if id == 0 {
        return Ok(Value::unknown());
    }
    if module != 0 {
        return Err(unsupported("addresses of modules' variables (ksyms)"));
    }
    let Some(types) = env.platform.types.as_deref() else {
        return Err(unsupported(
            "addresses of kernel variables (ksyms) without the kernel's types",
        ));
    };
    match types.ty(TypeId(id)) {
        Some(Type::Func { .. }) => Ok(Value::pointer(To::Memory {
            size: 0,
            writable: false,
        })),
        Some(Type::Var { ty, .. }) => {
            let ty = types.resolve(ty);
            if is_percpu(types, TypeId(id)) {
                return Ok(Value::pointer(To::PerCpu { type_id: ty.0 }));
            }
            object(types, ty)
        }
        _ => {
            let known = format!("type {id} is neither");
            let must = "an address is of a variable or a function of the kernel";
            Err(fail(Rule::Malformed, must, &known))
        }
    }
}

fn is_percpu(types: &Btf, var: TypeId) -> bool {
    let section = types.find_datasec(PERCPU).and_then(|s| types.ty(s));
    matches!(section, Some(Type::DataSec { vars, .. }) if vars.iter().any(|v| v.var == var))
}

/// A pointer to an object of the kernel.
fn object(types: &Btf, ty: TypeId) -> Outcome<Value> {
    if let Some(Type::Struct(_) | Type::Union(_)) = types.ty(ty) {
        return Ok(Value::pointer(To::Kernel {
            type_id: ty.0,
            trust: Trust::Plain,
        }));
    }
    let Some(size) = types.size_of(ty) else {
        let known = format!("`{}` has no size", types.type_name(ty));
        let must = "a variable of the kernel is of a type with a size";
        return Err(fail(Rule::BadPointer, must, &known));
    };
    Ok(Value::pointer(To::Memory {
        size,
        writable: false,
    }))
}

/// What a helper gives that finds one CPU's variable.
pub(crate) fn of_cpu(env: &mut Env<'_>, type_id: u32, nullable: bool) -> Outcome<Value> {
    let platform = env.platform;
    let Some(types) = platform.types.as_deref() else {
        return Err(unsupported(
            "addresses of kernel variables (ksyms) without the kernel's types",
        ));
    };
    Ok(match object(types, TypeId(type_id))? {
        Value::Pointer(p) if nullable => Value::Pointer(Pointer::or_null(p, env.fresh_id())),
        value => value,
    })
}
