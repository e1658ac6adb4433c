//! Exceptions: `bpf_throw` notes the cookie; the engine unwinds ([`Call::take_thrown`]).

use super::{Entry, entry};
use crate::Call;

pub(super) const ENTRIES: &[Entry] = &[entry("bpf_throw", "void (u64 cookie)", throw)];

unsafe extern "C" fn throw(
    call: *mut Call<'_>,
    cookie: u64,
    _: u64,
    _: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: the call is valid and unaliased.
    let call = unsafe { &mut *call };
    call.thrown = 1;
    call.cookie.write(cookie);
    0
}
