//! The open-coded iterator over the bits that are set in words: `bpf_iter_bits_new`, `_next`, `_destroy`.
//!
//! Its 16 bytes are the word, or the address of a copy of the words, then the number of bits, and the place last given, as in Linux.

use probity_isa::Size;

use super::{Entry, entry};
use crate::epoch::Holding;
use crate::helpers::err;
use crate::helpers::probe::no_kernel_address;
use crate::memory::read_any;
use crate::{Call, arena};

pub(super) const ENTRIES: &[Entry] = &[
    entry(
        "bpf_iter_bits_new",
        "int (struct bpf_iter_bits *it, const u64 *unsafe_ptr__ign, u32 nr_words)",
        new,
    ),
    entry(
        "bpf_iter_bits_next",
        "int *(struct bpf_iter_bits *it)",
        next,
    ),
    entry(
        "bpf_iter_bits_destroy",
        "void (struct bpf_iter_bits *it)",
        destroy,
    ),
];

/// `BITS_ITER_NR_WORDS_MAX`.
const MOST: usize = 511;
const WORD: u32 = 64;

/// # Safety
/// 16 bytes of memory.
unsafe fn set(it: u64, bits: u64, count: u32, at: i32) {
    let rest = u64::from(count) | u64::from(at as u32) << 32;
    // SAFETY: by the contract.
    unsafe {
        arena::store(it as *mut u8, Size::DW, bits);
        arena::store((it + 8) as *mut u8, Size::DW, rest);
    }
}

/// # Safety
/// An iterator.
unsafe fn get(it: u64) -> (u64, u32, i32) {
    // SAFETY: by the contract.
    let [bits, rest] = [it, it + 8].map(|at| unsafe { arena::load(at as *const u8, Size::DW) });
    (bits, rest as u32, (rest >> 32) as i32)
}

unsafe extern "C" fn new(
    call: *mut Call<'_>,
    it: u64,
    from: u64,
    words: u64,
    _: u64,
    _: u64,
) -> u64 {
    let words = words as u32 as usize;
    // SAFETY: `call` is valid; an iterator, by the declaration.
    unsafe {
        set(it, 0, 0, -1);
        if from == 0 || words == 0 {
            return err(libc::EINVAL);
        }
        if words > MOST {
            return err(libc::E2BIG);
        }
        let mut bytes = vec![0; 8 * words];
        if !read_any(&*call, from, &mut bytes) {
            return err(match words {
                1 => libc::EFAULT,
                _ => no_kernel_address(from),
            });
        }
        let (words, _) = bytes.as_chunks::<8>();
        let words: Vec<u64> = words.iter().map(|w| u64::from_ne_bytes(*w)).collect();
        let count = words.len() as u32 * WORD;
        match words[..] {
            [word] => set(it, word, count, -1),
            // What the program ends gives it back.
            _ => {
                (*call).note(Holding::More, 0);
                let copy = Box::leak(words.into_boxed_slice());
                set(it, copy.as_ptr() as u64, count, -1);
            }
        }
    }
    0
}

unsafe extern "C" fn next(_: *mut Call<'_>, it: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: an iterator, by the declaration; where it has more than a word, `new` left their address.
    unsafe {
        let (bits, count, at) = get(it);
        let from = (at + 1) as u32;
        if from >= count {
            return 0;
        }
        let one = [bits];
        let words = match count {
            WORD => &one[..],
            _ => std::slice::from_raw_parts(bits as *const u64, (count / WORD) as usize),
        };
        let mut rest = words.iter().enumerate().skip((from / WORD) as usize);
        let mut keep = u64::MAX << (from % WORD);
        let found = rest.find_map(|(n, word)| {
            let word = word & std::mem::replace(&mut keep, u64::MAX);
            (word != 0).then(|| n as u32 * WORD + word.trailing_zeros())
        });
        set(it, bits, count, found.unwrap_or(count) as i32);
        match found {
            Some(_) => it + 12,
            None => 0,
        }
    }
}

unsafe extern "C" fn destroy(call: *mut Call<'_>, it: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: `call` is valid; an iterator, by the declaration: `new` left the address of so many words.
    unsafe {
        let (bits, count, _) = get(it);
        if count > WORD {
            let words =
                std::ptr::slice_from_raw_parts_mut(bits as *mut u64, (count / WORD) as usize);
            drop(Box::from_raw(words));
            (*call).note(Holding::Less, 0);
        }
        set(it, 0, 0, 0);
    }
    0
}
