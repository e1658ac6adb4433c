//! Packets of a control group.

use std::fs::File;
use std::path::Path;

use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, Program};

use super::{Direction, Link, text, typed};

/// Does the group list its controllers, as those of the unified hierarchy do?
fn is_unified(path: &str) -> bool {
    Path::new(path).join("cgroup.controllers").exists()
}

pub(super) fn attach(
    program: &mut Program,
    path: &str,
    direction: Option<Direction>,
) -> Result<Vec<Link>, String> {
    let p: &mut CgroupSkb = typed(program)?;
    let directory = File::open(path).map_err(|e| e.to_string())?;
    if !is_unified(path) {
        return Err("it is not a control group of the unified hierarchy (cgroup v2)".into());
    }
    let kind = match direction {
        Some(Direction::Ingress) => CgroupSkbAttachType::Ingress,
        Some(Direction::Egress) => CgroupSkbAttachType::Egress,
        None => {
            return Err(
                "its section names no direction (cgroup_skb/ingress, cgroup_skb/egress)".into(),
            );
        }
    };
    // A link always leaves room for others; it takes no flag that says so.
    let id = p
        .attach(directory, kind, CgroupAttachMode::Single)
        .map_err(text)?;
    Ok(vec![Box::new(p.take_link(id).map_err(text)?)])
}
