//! Arguments that lead to the kernel's own structures, sockets among them.

use super::{Call, may_be_null, wrong};
use crate::call::ARGS;
use crate::env::Env;
use crate::kernel;
use crate::reject::{Explain, Outcome, fail};
use crate::report::{Access, Region, Rule};
use crate::value::{Pointer, Socket, To, Trust, Value};

/// What the engines are told of a call that reads a kernel structure: where there is no kernel it has no meaning.
pub(super) const KERNEL: Access = Access {
    promised: false,
    region: Region::Kernel,
    offset: None,
};

pub(super) fn kernel_argument(
    env: &Env<'_>,
    call: &Call<'_>,
    index: usize,
    p: &Pointer,
    name: &str,
    nullable: bool,
) -> Outcome<()> {
    if p.null && !nullable {
        return Err(may_be_null(env, call.callee, index, p));
    }
    if let To::Kernel { trust, .. } = p.to
        && trust != Trust::Untrusted
        && is_structure(env, p, name, false)
    {
        return Ok(());
    }
    let what = format!("a trusted pointer to a kernel `struct {name}`");
    Err(wrong(env, call.callee, index, &Value::Pointer(*p), &what))
}

/// Whether a typed pointer leads to structure `name`, or to one in the structure; `strict`: to nothing else.
fn is_structure(env: &Env<'_>, p: &Pointer, name: &str, strict: bool) -> bool {
    let (To::Kernel { type_id, .. }, Some(types)) = (p.to, env.platform.types.as_deref()) else {
        return false;
    };
    let (Some(off), Some(want)) = (p.constant_offset(), types.find_struct(name)) else {
        return false;
    };
    kernel::is_within(types, type_id, off, want, strict)
}

/// A kernel socket by BTF where any socket is taken.
pub(super) fn kernel_socket(
    env: &mut Env<'_>,
    call: &mut Call<'_>,
    index: usize,
    p: &Pointer,
    release: bool,
) -> Outcome<()> {
    let reg = ARGS[index];
    env.record(call.pc, KERNEL)?;
    if p.null {
        return Err(may_be_null(env, call.callee, index, p));
    }
    let (To::Kernel { trust, .. }, Some(name)) = (p.to, Socket::SockCommon.kernel_name()) else {
        return Ok(());
    };
    let believed = trust == Trust::Trusted || trust == Trust::Plain;
    if !believed || !is_structure(env, p, name, false) {
        let what = "a socket, or a trusted pointer to a kernel's socket";
        return Err(wrong(env, call.callee, index, &Value::Pointer(*p), what));
    }
    if release {
        if p.reference == 0 || p.constant_offset() != Some(0) {
            let must = format!("{} is given a reference to release", call.callee);
            let known = format!("{reg} carries none");
            return Err(fail(Rule::Reference, &must, &known).about(reg));
        }
        call.found.release = Some(p.reference);
    }
    Ok(())
}
