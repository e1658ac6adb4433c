//! Entry and return of functions of programs and libraries.

use std::num::NonZeroU32;

use aya::programs::uprobe::{UProbeAttachLocation, UProbeScope};
use aya::programs::{Program, UProbe};

use super::{Link, text, typed};

pub(super) fn attach(
    program: &mut Program,
    path: &str,
    symbol: Option<&str>,
    offset: u64,
    pid: Option<u32>,
) -> Result<Vec<Link>, String> {
    let p: &mut UProbe = typed(program)?;
    let location = match symbol {
        Some(symbol) if offset == 0 => UProbeAttachLocation::Symbol(symbol),
        Some(symbol) => UProbeAttachLocation::SymbolOffset(symbol, offset),
        None => UProbeAttachLocation::AbsoluteOffset(offset),
    };
    let scope = match pid.and_then(NonZeroU32::new) {
        Some(pid) => UProbeScope::OneProcess(pid),
        None => UProbeScope::AllProcesses,
    };
    let id = p.attach(location, path, scope).map_err(text)?;
    Ok(vec![Box::new(p.take_link(id).map_err(text)?)])
}
