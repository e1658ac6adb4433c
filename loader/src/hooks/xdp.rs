//! The first hook of a packet: XDP.

use aya::programs::{Program, Xdp, xdp};

use super::{Link, XdpMode, text, typed};

pub(super) fn attach(
    program: &mut Program,
    interface: &str,
    mode: XdpMode,
) -> Result<Vec<Link>, String> {
    let p: &mut Xdp = typed(program)?;
    if interface.contains('\0') {
        return Err("the name holds a zero byte".into());
    }
    let mode = match mode {
        XdpMode::Any => xdp::XdpMode::Default,
        XdpMode::Generic => xdp::XdpMode::Skb,
        XdpMode::Native => xdp::XdpMode::Driver,
    };
    let id = p.attach(interface, mode).map_err(text)?;
    Ok(vec![Box::new(p.take_link(id).map_err(text)?)])
}
