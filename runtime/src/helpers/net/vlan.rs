//! VLAN tags: one beside the packet, as devices hand it over, the others in its bytes.

use probity_isa::Size;

use super::meta::{field, get, set};
use super::packet::{ETHERNET_HEADER, Packet};
use crate::context::{self, BUFFER, DATA_META};
use crate::helpers::{Entry, bytes, entry, err, write};
use crate::{Call, arena};

pub(in crate::helpers) const ENTRIES: &[Entry] = &[
    entry(18, "skb_vlan_push", skb_vlan_push),
    entry(19, "skb_vlan_pop", skb_vlan_pop),
];

/// Protocols of tags, in network order.
const CUSTOMER: u16 = 0x8100u16.to_be();
const SERVICE: u16 = 0x88a8u16.to_be();
/// Bytes of both addresses, after which a tag stands, and of a tag.
const ADDRESSES: u64 = 12;
const TAG: u64 = 4;
/// What frames are whose type is a length: with a header of logical links, or (all ones after the length) without.
const LINKS: u64 = 4u16.to_be() as u64;
const RAW: u64 = 1u16.to_be() as u64;
/// The least type; below it is a length.
const LEAST_TYPE: u16 = 0x600;

fn is_tag(protocol: u64) -> bool {
    matches!(protocol as u16, CUSTOMER | SERVICE)
}

unsafe extern "C" fn skb_vlan_push(
    call: *mut Call<'_>,
    ctx: u64,
    protocol: u64,
    tci: u64,
    _: u64,
    _: u64,
) -> u64 {
    let protocol = match protocol as u16 {
        p @ (CUSTOMER | SERVICE) => p,
        _ => CUSTOMER,
    };
    // SAFETY: `call` is valid, the row promises the context; new bounds are checked against the buffer's.
    unsafe {
        if get(call, field::VLAN_PRESENT, Size::W) != 0 {
            let p = Packet::of(ctx);
            if p.len() < ETHERNET_HEADER {
                return err(libc::EFAULT);
            }
            if p.data < context::header(ctx, BUFFER) + TAG {
                return err(libc::ENOMEM);
            }
            let outer = get(call, field::VLAN_PROTO, Size::H);
            let inner = get(call, field::VLAN_TCI, Size::H) as u16;
            let data = p.data - TAG;
            let addresses = bytes(p.data, ADDRESSES);
            write(data, &addresses);
            write(data + ADDRESSES, &(outer as u16).to_ne_bytes());
            write(data + ADDRESSES + 2, &inner.to_be_bytes());
            context::set_header(ctx, DATA_META, data);
            p.set(call, data, p.end);
            set(call, field::PROTOCOL, Size::W, outer);
        }
        set(call, field::VLAN_PRESENT, Size::W, 1);
        set(call, field::VLAN_TCI, Size::W, u64::from(tci as u16));
        set(call, field::VLAN_PROTO, Size::W, u64::from(protocol));
    }
    0
}

unsafe extern "C" fn skb_vlan_pop(
    call: *mut Call<'_>,
    ctx: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid, the row promises the context.
    unsafe {
        if get(call, field::VLAN_PRESENT, Size::W) != 0 {
            set(call, field::VLAN_PRESENT, Size::W, 0);
            set(call, field::VLAN_TCI, Size::W, 0);
            set(call, field::VLAN_PROTO, Size::W, 0);
        } else {
            if !is_tag(get(call, field::PROTOCOL, Size::H)) {
                return 0;
            }
            if take(call, ctx).is_none() {
                return err(libc::ENOMEM);
            }
        }
        // The next one comes beside the packet.
        let protocol = get(call, field::PROTOCOL, Size::H);
        if !is_tag(protocol) {
            return 0;
        }
        let Some(tci) = take(call, ctx) else {
            return err(libc::ENOMEM);
        };
        set(call, field::VLAN_PRESENT, Size::W, 1);
        set(call, field::VLAN_TCI, Size::W, tci);
        set(call, field::VLAN_PROTO, Size::W, protocol);
    }
    0
}

/// Takes the first tag out of the packet's bytes.
///
/// # Safety
/// `call` is valid and `ctx` its context.
unsafe fn take(call: *mut Call<'_>, ctx: u64) -> Option<u64> {
    // SAFETY: by the contract; `at` gives packet bytes.
    unsafe {
        let p = Packet::of(ctx);
        p.at(0, ETHERNET_HEADER + TAG)?;
        let tci =
            u16::from_be(arena::load((p.data + ETHERNET_HEADER) as *const u8, Size::H) as u16);
        let addresses = bytes(p.data, ADDRESSES);
        let data = p.data + TAG;
        write(data, &addresses);
        context::set_header(ctx, DATA_META, data);
        p.set(call, data, p.end);
        let protocol = match arena::load((data + ADDRESSES) as *const u8, Size::H) {
            kind if u16::from_be(kind as u16) >= LEAST_TYPE => kind,
            _ => match Packet::of(ctx).at(ETHERNET_HEADER, 2) {
                Some(next) if arena::load(next as *const u8, Size::H) == 0xffff => RAW,
                _ => LINKS,
            },
        };
        set(call, field::PROTOCOL, Size::W, protocol);
        Some(u64::from(tci))
    }
}
