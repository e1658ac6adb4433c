//! Traffic control, ingress and egress: tcx from Linux 6.6 on, a clsact filter before.

use aya::programs::tc::{self, TcAttachType};
use aya::programs::{Program, SchedClassifier};

use super::{Direction, Link, text, typed};

pub(super) fn attach(
    program: &mut Program,
    interface: &str,
    direction: Direction,
) -> Result<Vec<Link>, String> {
    let p: &mut SchedClassifier = typed(program)?;
    let kind = match direction {
        Direction::Ingress => TcAttachType::Ingress,
        Direction::Egress => TcAttachType::Egress,
    };
    let id = match p.attach(interface, kind) {
        Ok(id) => id,
        // Without tcx the qdisc has to be there; it may be there already.
        Err(_) => {
            let _ = tc::qdisc_add_clsact(interface);
            p.attach(interface, kind).map_err(text)?
        }
    };
    Ok(vec![Box::new(p.take_link(id).map_err(text)?)])
}
