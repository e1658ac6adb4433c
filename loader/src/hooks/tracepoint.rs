//! Tracepoints, through a perf event, and raw tracepoints.

use aya::programs::{Program, RawTracePoint, TracePoint};

use super::{Link, text, typed};

pub(super) fn attach(
    program: &mut Program,
    category: &str,
    name: &str,
) -> Result<Vec<Link>, String> {
    let p: &mut TracePoint = typed(program)?;
    let id = p.attach(category, name).map_err(text)?;
    Ok(vec![Box::new(p.take_link(id).map_err(text)?)])
}

pub(super) fn attach_raw(program: &mut Program, name: &str) -> Result<Vec<Link>, String> {
    let p: &mut RawTracePoint = typed(program)?;
    if name.contains('\0') {
        return Err("the name holds a zero byte".into());
    }
    let id = p.attach(name).map_err(text)?;
    Ok(vec![Box::new(p.take_link(id).map_err(text)?)])
}
