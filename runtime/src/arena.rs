//! Zeroed memory with a stable address, shared between programs, threads and the host.
//!
//! **Invariant:** an arena neither moves nor shrinks while it lives; pages of large ones
//! come from the system when first touched.
//!
//! **Invariant:** bytes that several threads may touch are read and written here by relaxed
//! atomics only; programs touch them by machine loads and stores of at most a word.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

use probity_isa::{AtomicOp, Size};

/// A block of zeroed bytes, aligned to 16 bytes at least.
#[derive(Debug)]
pub(crate) struct Arena {
    base: NonNull<u8>,
    layout: Layout,
}

// SAFETY: an arena is plain memory; all access to it goes through raw pointers under the
// rules of this module.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    /// `None` when the size is absurd or the system has no memory.
    pub fn new(bytes: usize) -> Option<Arena> {
        Arena::aligned(bytes, 16)
    }

    /// At a multiple of `align`, a power of two.
    pub fn aligned(bytes: usize, align: usize) -> Option<Arena> {
        let layout = Layout::from_size_align(bytes.max(16), align.max(16)).ok()?;
        // SAFETY: the layout's size is not zero.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Arena { base, layout })
    }

    #[inline]
    pub fn address(&self) -> u64 {
        self.base.as_ptr() as u64
    }

    pub fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    pub fn len(&self) -> usize {
        self.layout.size()
    }

    /// Pointer to `offset`, which must lie inside (checked).
    pub fn at(&self, offset: usize) -> *mut u8 {
        assert!(
            offset <= self.len(),
            "offset {offset} outside of an arena of {} bytes",
            self.len()
        );
        // SAFETY: the offset is inside of the allocation or one past its end.
        unsafe { self.base.as_ptr().add(offset) }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}

/// Loads a little-endian-host word of `size` bytes, zero-extended.
///
/// # Safety
/// `p` is readable for `size` bytes.
#[inline]
pub(crate) unsafe fn load(p: *const u8, size: Size) -> u64 {
    let a = p as usize;
    // SAFETY: readable by the contract, aligned where an atomic of that width is made.
    unsafe {
        match size {
            Size::B => u64::from(byte(p)),
            Size::H if a & 1 == 0 => u64::from(AtomicU16::from_ptr(p as *mut u16).load(Relaxed)),
            Size::W if a & 3 == 0 => u64::from(AtomicU32::from_ptr(p as *mut u32).load(Relaxed)),
            Size::DW if a & 7 == 0 => AtomicU64::from_ptr(p as *mut u64).load(Relaxed),
            _ => load_bytes(p, size),
        }
    }
}

/// [`load`] where nothing is aligned.
///
/// # Safety
/// As for [`load`].
#[cold]
unsafe fn load_bytes(p: *const u8, size: Size) -> u64 {
    let mut b = [0u8; 8];
    for (i, b) in b.iter_mut().enumerate().take(size.bytes()) {
        // SAFETY: by the contract.
        *b = unsafe { byte(p.add(i)) };
    }
    u64::from_le_bytes(b)
}

/// Stores the low `size` bytes of `v`.
///
/// # Safety
/// `p` is writable for `size` bytes.
#[inline]
pub(crate) unsafe fn store(p: *mut u8, size: Size, v: u64) {
    let a = p as usize;
    // SAFETY: writable by the contract, aligned where an atomic of that width is made.
    unsafe {
        match size {
            Size::B => AtomicU8::from_ptr(p).store(v as u8, Relaxed),
            Size::H if a & 1 == 0 => AtomicU16::from_ptr(p.cast()).store(v as u16, Relaxed),
            Size::W if a & 3 == 0 => AtomicU32::from_ptr(p.cast()).store(v as u32, Relaxed),
            Size::DW if a & 7 == 0 => AtomicU64::from_ptr(p.cast()).store(v, Relaxed),
            _ => {
                for (i, b) in v.to_le_bytes().into_iter().enumerate().take(size.bytes()) {
                    AtomicU8::from_ptr(p.add(i)).store(b, Relaxed);
                }
            }
        }
    }
}

/// A read-modify-write; gives the old value, zero-extended. `expected` is r0, for `Cmpxchg`. `None` for another size than 4 or 8.
///
/// # Safety
/// `p` is writable for `size` bytes, and a multiple of it.
pub(crate) unsafe fn atomic(
    p: *mut u8,
    op: AtomicOp,
    size: Size,
    operand: u64,
    expected: u64,
) -> Option<u64> {
    match size {
        Size::W => {
            // SAFETY: by the contract.
            let a = unsafe { AtomicU32::from_ptr(p.cast()) };
            let v = operand as u32;
            Some(u64::from(match op {
                AtomicOp::Add { .. } => a.fetch_add(v, SeqCst),
                AtomicOp::Or { .. } => a.fetch_or(v, SeqCst),
                AtomicOp::And { .. } => a.fetch_and(v, SeqCst),
                AtomicOp::Xor { .. } => a.fetch_xor(v, SeqCst),
                AtomicOp::Xchg => a.swap(v, SeqCst),
                AtomicOp::Cmpxchg => a
                    .compare_exchange(expected as u32, v, SeqCst, SeqCst)
                    .unwrap_or_else(|v| v),
            }))
        }
        Size::DW => {
            // SAFETY: by the contract.
            let a = unsafe { AtomicU64::from_ptr(p.cast()) };
            Some(match op {
                AtomicOp::Add { .. } => a.fetch_add(operand, SeqCst),
                AtomicOp::Or { .. } => a.fetch_or(operand, SeqCst),
                AtomicOp::And { .. } => a.fetch_and(operand, SeqCst),
                AtomicOp::Xor { .. } => a.fetch_xor(operand, SeqCst),
                AtomicOp::Xchg => a.swap(operand, SeqCst),
                AtomicOp::Cmpxchg => a
                    .compare_exchange(expected, operand, SeqCst, SeqCst)
                    .unwrap_or_else(|v| v),
            })
        }
        Size::B | Size::H => None,
    }
}

/// # Safety
/// `p` is readable.
#[inline]
unsafe fn byte(p: *const u8) -> u8 {
    // SAFETY: by the contract.
    unsafe { AtomicU8::from_ptr(p as *mut u8).load(Relaxed) }
}

/// Copies between memories that other threads may be using. They may overlap only as
/// `memmove` forward copies allow (`dst` before `src`).
///
/// # Safety
/// `src` is readable and `dst` writable for `len` bytes.
#[inline]
pub(crate) unsafe fn copy(dst: *mut u8, src: *const u8, len: usize) {
    // SAFETY: every step stays below `len`.
    unsafe {
        let mut i = 0;
        if (dst as usize | src as usize) & 7 == 0 {
            while i + 8 <= len {
                let word = AtomicU64::from_ptr(src.add(i) as *mut u64).load(Relaxed);
                AtomicU64::from_ptr(dst.add(i).cast()).store(word, Relaxed);
                i += 8;
            }
        }
        if i != len {
            copy_any(dst.add(i), src.add(i), len - i);
        }
    }
}

/// [`copy`] where memory is not aligned to 8 bytes, or the last bytes remain.
///
/// # Safety
/// As for [`copy`].
#[inline(never)]
unsafe fn copy_any(dst: *mut u8, src: *const u8, len: usize) {
    let mut i = 0;
    // SAFETY: every step stays below `len`.
    unsafe {
        while i + 8 <= len {
            moves::eight(dst.add(i), src.add(i));
            i += 8;
        }
        if len & 4 != 0 {
            moves::four(dst.add(i), src.add(i));
            i += 4;
        }
        if len & 2 != 0 {
            moves::two(dst.add(i), src.add(i));
            i += 2;
        }
        if len & 1 != 0 {
            store(dst.add(i), Size::B, byte(src.add(i)).into());
        }
    }
}

/// Some bytes from anywhere to anywhere, and zeros to anywhere.
///
/// The language knows no access to shared memory that is not aligned; the machine does.
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod moves {
    use std::arch::asm;

    /// # Safety
    /// `src` is readable for eight bytes.
    #[inline(always)]
    pub unsafe fn load_eight(src: *const u8) -> u64 {
        let word: u64;
        // SAFETY: by the contract.
        unsafe {
            asm!(
                "mov {word}, qword ptr [{src}]",
                word = out(reg) word,
                src = in(reg) src,
                options(nostack, preserves_flags, readonly),
            );
        }
        word
    }

    macro_rules! moves {
        ($($name:ident, $zero:ident: $load:literal, $store:literal, $clear:literal;)*) => {$(
            /// # Safety
            /// `src` is readable and `dst` writable for so many bytes.
            #[inline(always)]
            pub unsafe fn $name(dst: *mut u8, src: *const u8) {
                // SAFETY: by the contract.
                unsafe {
                    asm!(
                        $load,
                        $store,
                        word = out(reg) _,
                        src = in(reg) src,
                        dst = in(reg) dst,
                        options(nostack, preserves_flags),
                    );
                }
            }

            /// # Safety
            /// `dst` is writable for so many bytes.
            #[inline(always)]
            pub unsafe fn $zero(dst: *mut u8) {
                // SAFETY: by the contract.
                unsafe {
                    asm!($clear, dst = in(reg) dst, options(nostack, preserves_flags));
                }
            }
        )*};
    }
    moves! {
        eight, zero_eight: "mov {word}, qword ptr [{src}]", "mov qword ptr [{dst}], {word}", "mov qword ptr [{dst}], 0";
        four, zero_four: "mov {word:e}, dword ptr [{src}]", "mov dword ptr [{dst}], {word:e}", "mov dword ptr [{dst}], 0";
        two, zero_two: "movzx {word:e}, word ptr [{src}]", "mov word ptr [{dst}], {word:x}", "mov word ptr [{dst}], 0";
    }
}

/// Some bytes from anywhere to anywhere, and zeros to anywhere.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod moves {
    use probity_isa::Size;

    use super::{load, store};

    /// # Safety
    /// `src` is readable for eight bytes.
    #[inline]
    pub unsafe fn load_eight(src: *const u8) -> u64 {
        // SAFETY: by the contract.
        unsafe { load(src, Size::DW) }
    }

    macro_rules! moves {
        ($($name:ident, $zero:ident: $size:ident;)*) => {$(
            /// # Safety
            /// `src` is readable and `dst` writable for so many bytes.
            #[inline]
            pub unsafe fn $name(dst: *mut u8, src: *const u8) {
                // SAFETY: by the contract.
                unsafe { store(dst, Size::$size, load(src, Size::$size)) }
            }

            /// # Safety
            /// `dst` is writable for so many bytes.
            #[inline]
            pub unsafe fn $zero(dst: *mut u8) {
                // SAFETY: by the contract.
                unsafe { store(dst, Size::$size, 0) }
            }
        )*};
    }
    moves! { eight, zero_eight: DW; four, zero_four: W; two, zero_two: H; }
}

/// # Safety
/// `dst` is writable for `len` bytes.
#[inline]
pub(crate) unsafe fn zero(dst: *mut u8, len: usize) {
    let mut i = 0;
    // SAFETY: every step stays below `len`.
    unsafe {
        while i + 8 <= len {
            moves::zero_eight(dst.add(i));
            i += 8;
        }
        if len & 4 != 0 {
            moves::zero_four(dst.add(i));
            i += 4;
        }
        if len & 2 != 0 {
            moves::zero_two(dst.add(i));
            i += 2;
        }
        if len & 1 != 0 {
            store(dst.add(i), Size::B, 0);
        }
    }
}

/// Whether the bytes there are these.
///
/// # Safety
/// `src` is readable for `bytes.len()` bytes.
#[inline]
pub(crate) unsafe fn same(src: *const u8, bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut at = src;
    for word in words {
        // SAFETY: by the contract; the step stays below the length.
        unsafe {
            if moves::load_eight(at) != u64::from_ne_bytes(*word) {
                return false;
            }
            at = at.add(8);
        }
    }
    for (i, b) in rest.iter().enumerate() {
        // SAFETY: as above.
        if unsafe { byte(at.add(i)) } != *b {
            return false;
        }
    }
    true
}

/// Copies bytes out.
///
/// # Safety
/// `src` is readable for `dst.len()` bytes.
#[inline]
pub(crate) unsafe fn read_into(src: *const u8, dst: &mut [u8]) {
    // SAFETY: by the contract; `dst` is a slice of that length.
    unsafe { copy(dst.as_mut_ptr(), src, dst.len()) }
}

/// # Safety
/// `src` is readable for `len` bytes.
pub(crate) unsafe fn read_vec(src: *const u8, len: usize) -> Vec<u8> {
    let mut v = vec![0; len];
    // SAFETY: by the contract.
    unsafe { read_into(src, &mut v) };
    v
}
