//! Strings of the user's memory, which the environment has.

use super::{Entry, entry};
use crate::Call;
use crate::helpers::probe::copy_user_string;

pub(super) const ENTRIES: &[Entry] = &[entry(
    "bpf_copy_from_user_str",
    "int (void *dst, u32 dst__sz, const void *unsafe_ptr__ign, u64 flags)",
    copy_from_user_str,
)];

unsafe extern "C" fn copy_from_user_str(
    call: *mut Call<'_>,
    to: u64,
    size: u64,
    from: u64,
    flags: u64,
    _: u64,
) -> u64 {
    // SAFETY: `call` is valid; the declaration promises so many writable bytes.
    unsafe { copy_user_string(call, to, size, from, flags) }
}
