//! Helpers on packets and sockets, one file a group.

mod checksum;
mod meta;
mod packet;
mod redirect;
mod skb;
mod socket;
mod vlan;
mod xdp;

use super::Entry;

pub(crate) use packet::Packet;

pub(super) const GROUPS: [&[Entry]; 7] = [
    skb::ENTRIES,
    xdp::ENTRIES,
    checksum::ENTRIES,
    meta::ENTRIES,
    vlan::ENTRIES,
    redirect::ENTRIES,
    socket::ENTRIES,
];
