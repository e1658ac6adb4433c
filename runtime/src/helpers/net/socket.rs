//! Helpers on sockets, of which there are none in process.

use crate::Call;
use crate::helpers::{Entry, entry};

pub(in crate::helpers) const ENTRIES: &[Entry] = &[
    entry(46, "get_socket_cookie", no_socket),
    entry(84, "sk_lookup_tcp", no_socket),
    entry(85, "sk_lookup_udp", no_socket),
    entry(86, "sk_release", no_socket),
    entry(95, "sk_fullsock", no_socket),
    entry(96, "tcp_sock", no_socket),
    entry(98, "get_listener_sock", no_socket),
    entry(99, "skc_lookup_tcp", no_socket),
    entry(122, "get_netns_cookie", get_netns_cookie),
];

/// The first network namespace's cookie.
unsafe extern "C" fn get_netns_cookie(
    _: *mut Call<'_>,
    _ctx: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    1
}

/// NULL, or 0: there are no sockets here.
unsafe extern "C" fn no_socket(_: *mut Call<'_>, _: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    0
}
