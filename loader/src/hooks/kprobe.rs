//! Entry and return of kernel functions.

use aya::programs::{KProbe, Program};

use super::{Link, text, typed};

pub(super) fn attach(
    program: &mut Program,
    function: &str,
    offset: u64,
) -> Result<Vec<Link>, String> {
    let p: &mut KProbe = typed(program)?;
    let id = p.attach(function, offset).map_err(|e| {
        let text = text(e);
        if std::path::Path::new("/sys/bus/event_source/devices/kprobe").exists() {
            text
        } else {
            format!("{text} (this kernel was built without kprobes)")
        }
    })?;
    Ok(vec![Box::new(p.take_link(id).map_err(text)?)])
}
