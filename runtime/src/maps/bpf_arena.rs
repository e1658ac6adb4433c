//! Arenas: memory that programs address by the low halves of addresses, and share with the host.
//!
//! The addresses are those of this process, so that a pointer in an arena means the same to programs and host.
//! What Linux leaves to page faults is looked up here: a table has a byte for each page, set where the page is there.
//! Elsewhere loads give 0 and stores are lost.
//!
//! **Invariant:** wherever an access may go, by any number, the table has bytes for its pages; and a page that
//! was ever there may be read and written as long as the map lives: a late access to a freed one harms nobody.

use std::collections::BTreeMap;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU8, AtomicU64, fence};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use probity_isa::{AtomicOp, Size};

use super::flags::MMAPABLE;
use super::{Spec, Store, err};
use crate::{Error, arena};

/// Bytes of a page.
const PAGE: u64 = 4096;
/// What 32 bits address.
const SPAN: u64 = 1 << 32;
/// How far below the origin an instruction's offset reaches.
const BELOW: u64 = 1 << 15;
/// Bytes from the table to the origin: more than there are pages.
const TABLE: u64 = 2 << 20;
/// The first page is not at the origin where there is room: the low half of its address would be NULL.
const FIRST: u64 = 64 << 10;

/// `BPF_F_SEGV_ON_FAULT`: the host's accesses make no pages.
const SEGV_ON_FAULT: u32 = 1 << 17;
/// `BPF_F_NO_USER_CONV`: casts leave out the upper half.
const NO_USER_CONV: u32 = 1 << 18;

/// The memory of an arena.
pub struct BpfArena {
    _reserved: Reserved,
    /// What low halves are added to: a multiple of 4 GiB.
    origin: u64,
    /// Low half of the first page's address.
    first: u64,
    pages: u32,
    flags: u32,
    /// Ranges of pages that nobody has: first page → how many. They do not touch.
    free: Mutex<BTreeMap<u32, u32>>,
    /// Bytes that may still be taken, of those that the instance has for what grows.
    left: OnceLock<Arc<AtomicU64>>,
}

/// Addresses that are this arena's.
struct Reserved {
    start: u64,
    bytes: u64,
}

impl Reserved {
    /// So many bytes from a multiple of 4 GiB on, and the table below; nothing may be accessed yet.
    fn new(bytes: u64) -> Option<(Reserved, u64)> {
        let all = TABLE + SPAN + bytes;
        // SAFETY: a new mapping at an address of the system's choice.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                usize::try_from(all).ok()?,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return None;
        }
        let start = start as u64;
        let origin = (start + TABLE).next_multiple_of(SPAN);
        let (from, to) = (origin - TABLE, origin + bytes);
        // What lies before and behind is given back.
        for (at, end) in [(start, from), (to, start + all)] {
            if at < end {
                // SAFETY: the range is a part of the mapping, and nobody uses it.
                unsafe { libc::munmap(at as *mut libc::c_void, (end - at) as usize) };
            }
        }
        let (start, bytes) = (from, to - from);
        Some((Reserved { start, bytes }, origin))
    }

    fn open(&self, at: u64, bytes: u64) -> bool {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the range is a part of this mapping.
        unsafe { libc::mprotect(at as *mut libc::c_void, bytes as usize, access) == 0 }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's, and whoever could use it is gone.
        unsafe { libc::munmap(self.start as *mut libc::c_void, self.bytes as usize) };
    }
}

pub(super) fn arena(spec: &Spec) -> Result<Box<dyn Store>, Error> {
    if spec.key_size != 0 || spec.value_size != 0 {
        return Err(spec.error("an arena has neither keys nor values"));
    }
    if spec.flags & !(MMAPABLE | SEGV_ON_FAULT | NO_USER_CONV) != 0 || spec.flags & MMAPABLE == 0 {
        return Err(spec.error("an arena has the flag BPF_F_MMAPABLE, and may have two others"));
    }
    let pages = u32::try_from(spec.max_entries).unwrap_or(u32::MAX);
    let bytes = u64::from(pages) * PAGE;
    if pages == 0 || bytes > SPAN {
        return Err(spec.error("an arena has 1 to 1048576 pages"));
    }
    let first = if bytes <= SPAN - FIRST { FIRST } else { 0 };
    let (reserved, origin) = Reserved::new(first + bytes).ok_or_else(|| spec.no_memory())?;
    let open = reserved.open(origin - TABLE, TABLE) && reserved.open(origin + first, bytes);
    if !open {
        return Err(spec.no_memory());
    }
    Ok(Box::new(BpfArena {
        _reserved: reserved,
        origin,
        first,
        pages,
        flags: spec.flags,
        free: Mutex::new(BTreeMap::from([(0, pages)])),
        left: OnceLock::new(),
    }))
}

impl BpfArena {
    /// So far below the origin begin the addresses that an address's low half and an instruction's offset can
    /// lead to: what counts from there is not negative.
    pub const BELOW: i64 = BELOW as i64;
    /// Bits of an offset within a page.
    pub const PAGE_BITS: u32 = PAGE.trailing_zeros();

    /// What the low half of an address is added to, a multiple of 4 GiB.
    pub fn origin(&self) -> u64 {
        self.origin
    }

    /// From the origin to the byte of the page [`BpfArena::BELOW`] bytes below it: not 0 where the page is there.
    pub const fn table() -> i64 {
        -(TABLE as i64)
    }

    /// The address of the first page.
    pub fn address(&self) -> u64 {
        self.origin + self.first
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        u64::from(self.pages) * PAGE
    }

    pub fn is_empty(&self) -> bool {
        self.pages == 0
    }

    /// What casts to addresses of the host's add to low halves other than 0.
    pub fn upper_half(&self) -> u64 {
        if self.flags & NO_USER_CONV != 0 {
            return 0;
        }
        self.origin
    }

    /// Where an access goes that a program makes at a number, when all of its pages are there.
    pub fn place(&self, address: u64, off: i16, size: Size) -> Option<u64> {
        let at = u64::from(address as u32) + BELOW;
        let at = at.wrapping_add_signed(i64::from(off));
        let there = self.has(at) && self.has(at + size.bytes() as u64 - 1);
        there.then(|| self.origin + at - BELOW)
    }

    /// A load; 0 where no page is.
    pub fn load(&self, address: u64, off: i16, size: Size) -> u64 {
        let at = self.place(address, off, size);
        // SAFETY: the place is so many bytes of this arena's pages.
        at.map_or(0, |at| unsafe { arena::load(at as *const u8, size) })
    }

    /// A store, lost where no page is.
    pub fn store(&self, address: u64, off: i16, size: Size, value: u64) {
        if let Some(at) = self.place(address, off, size) {
            // SAFETY: as in `load`.
            unsafe { arena::store(at as *mut u8, size, value) };
        }
    }

    /// Where an access goes that has to be aligned.
    fn aligned(&self, address: u64, off: i16, size: Size) -> Option<u64> {
        let at = self.place(address, off, size);
        at.filter(|at| at.is_multiple_of(size.bytes() as u64))
    }

    /// A load with acquire order; 0 where no page is or what is loaded is not aligned.
    pub fn load_acquire(&self, address: u64, off: i16, size: Size) -> u64 {
        let at = self.aligned(address, off, size);
        // SAFETY: as in `load`.
        let value = at.map_or(0, |at| unsafe { arena::load(at as *const u8, size) });
        fence(Acquire);
        value
    }

    /// A store with release order, lost where no page is or what is stored is not aligned.
    pub fn store_release(&self, address: u64, off: i16, size: Size, value: u64) {
        fence(Release);
        if let Some(at) = self.aligned(address, off, size) {
            // SAFETY: as in `load`.
            unsafe { arena::store(at as *mut u8, size, value) };
        }
    }

    /// A read-modify-write; gives the old value. Where no page is or the place is not aligned nothing is done, and it gives 0.
    ///
    /// Linux on x86-64 leaves all 64 bits of the register as they were then, which its own proof does not
    /// account for where 32 are fetched.
    pub fn atomic(
        &self,
        op: AtomicOp,
        size: Size,
        (address, off): (u64, i16),
        operand: u64,
        expected: u64,
    ) -> u64 {
        let at = self.aligned(address, off, size);
        // SAFETY: as in `load`; aligned.
        let old =
            at.and_then(|at| unsafe { arena::atomic(at as *mut u8, op, size, operand, expected) });
        old.unwrap_or(0)
    }

    /// What a cast gives: to the kernel's address space the low half, to the program's the host's address, or NULL for NULL.
    pub fn cast(&self, value: u64, to_program: bool) -> u64 {
        let low = u64::from(value as u32);
        match low {
            0 => 0,
            _ if to_program => self.upper_half() | low,
            _ => low,
        }
    }

    /// Whether the page is there that lies `at` bytes above what is [`BpfArena::BELOW`] the origin.
    fn has(&self, at: u64) -> bool {
        self.byte(at / PAGE).load(Acquire) != 0
    }

    /// The place of one of the arena's pages, as [`BpfArena::has`] takes it.
    fn at(&self, page: u32) -> u64 {
        self.first + BELOW + u64::from(page) * PAGE
    }

    fn byte(&self, page: u64) -> &AtomicU8 {
        assert!(page < TABLE, "a page beyond all addresses");
        // SAFETY: the table has so many bytes, and lives as long as the arena.
        unsafe { AtomicU8::from_ptr((self.origin - TABLE + page) as *mut u8) }
    }

    /// Says what pages are paid from, after those of the object's variables were made.
    pub(crate) fn draw_on(&self, left: &Arc<AtomicU64>) {
        self.left.get_or_init(|| left.clone());
    }

    fn refund(&self, count: u32) {
        if let Some(left) = self.left.get() {
            left.fetch_add(u64::from(count) * PAGE, Relaxed);
        }
    }

    fn pay(&self, count: u32) -> bool {
        let bytes = u64::from(count) * PAGE;
        let spend = |left: u64| left.checked_sub(bytes);
        let left = self.left.get();
        left.is_none_or(|left| left.fetch_update(Relaxed, Relaxed, spend).is_ok())
    }

    /// Makes pages be there, zeros, or not be there.
    fn set(&self, page: u32, count: u32, there: bool) {
        let bytes = usize::try_from(u64::from(count) * PAGE).unwrap_or(usize::MAX);
        let at = self.address() + u64::from(page) * PAGE;
        let mark = || {
            let from = self.at(page) / PAGE;
            for n in from..from + u64::from(count) {
                self.byte(n).store(u8::from(there), Release);
            }
        };
        if !there {
            mark();
        }
        // SAFETY: pages of this arena's, anonymous and private: they are zeros from now on. Where the machine's
        // pages are larger than an arena's, they are written.
        unsafe {
            if libc::madvise(at as *mut libc::c_void, bytes, libc::MADV_DONTNEED) != 0 {
                arena::zero(at as *mut u8, bytes);
            }
        }
        if there {
            mark();
        }
    }

    /// The page that an address lies in, whatever its upper half.
    fn page_of(&self, address: u64) -> Option<u32> {
        let page = u64::from(address as u32).checked_sub(self.first)? / PAGE;
        u32::try_from(page).ok().filter(|p| *p < self.pages)
    }

    /// `bpf_arena_alloc_pages`: at an address, or anywhere for 0; gives the first one's address, or 0.
    pub(crate) fn allocate(&self, address: u64, count: u32) -> u64 {
        if count == 0 || count > self.pages || !address.is_multiple_of(PAGE) {
            return 0;
        }
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let page = match address {
            // The smallest range that will do, and of these the lowest.
            0 => free
                .iter()
                .filter(|(_, n)| **n >= count)
                .min_by_key(|(_, n)| **n)
                .map(|(at, _)| *at),
            _ => self.page_of(address),
        };
        if !self.pay(count) {
            return 0;
        }
        let Some(page) = page.filter(|p| take(&mut free, *p, count)) else {
            self.refund(count);
            return 0;
        };
        self.set(page, count, true);
        self.address() + u64::from(page) * PAGE
    }

    /// `bpf_arena_reserve_pages`: nobody gets them, and they are not there. 0 or a negative error number.
    pub(crate) fn reserve(&self, address: u64, count: u32) -> i64 {
        if count == 0 || !address.is_multiple_of(PAGE) {
            return 0;
        }
        let page = self.page_of(address);
        let Some(page) = page.filter(|p| u64::from(*p) + u64::from(count) <= self.pages.into())
        else {
            return err(libc::EINVAL);
        };
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        match take(&mut free, page, count) {
            true => 0,
            false => err(libc::EBUSY),
        }
    }

    /// `bpf_arena_free_pages`: from the page of an address on, as far as the arena goes.
    pub(crate) fn release(&self, address: u64, count: u32) {
        let Some(page) = self.page_of(address) else {
            return;
        };
        let count = count.min(self.pages - page);
        if count == 0 {
            return;
        }
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let there = (page..page + count).filter(|p| self.has(self.at(*p)));
        let there = there.count() as u32;
        self.set(page, count, false);
        self.refund(there);
        give(&mut free, page, count);
    }

    /// What a fault of the host's at this page does: false where it would be a signal.
    fn touch(&self, page: u32) -> bool {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has(self.at(page)) {
            return true;
        }
        if self.flags & SEGV_ON_FAULT != 0 || !self.pay(1) {
            return false;
        }
        let made = take(&mut free, page, 1);
        match made {
            true => self.set(page, 1, true),
            false => self.refund(1),
        }
        made
    }

    /// Makes the pages of a range be there, and says where it lies.
    fn reach(&self, address: u64, len: usize) -> Option<*mut u8> {
        let len = len as u64;
        let from = address.checked_sub(self.address())?;
        if len > self.len() || from > self.len() - len {
            return None;
        }
        let pages = from / PAGE..(from + len).div_ceil(PAGE);
        let there = pages.into_iter().all(|page| self.touch(page as u32));
        there.then_some(address as *mut u8)
    }

    /// Copies bytes from an address of the arena's; 0 or a negative error number.
    pub(super) fn read(&self, address: u64, out: &mut [u8]) -> i64 {
        match self.reach(address, out.len()) {
            // SAFETY: so many bytes of the arena's pages.
            Some(at) => unsafe { arena::read_into(at, out) },
            None => return err(libc::EFAULT),
        }
        0
    }

    /// Copies bytes to an address of the arena's; 0 or a negative error number.
    pub(super) fn write(&self, address: u64, bytes: &[u8]) -> i64 {
        match self.reach(address, bytes.len()) {
            // SAFETY: so many bytes of the arena's pages.
            Some(at) => unsafe { arena::copy(at, bytes.as_ptr(), bytes.len()) },
            None => return err(libc::EFAULT),
        }
        0
    }
}

impl Store for BpfArena {
    fn arena(&self) -> Option<&BpfArena> {
        Some(self)
    }
}

/// Whether all pages of an access are there, for compiled code: `at` counts from [`BpfArena::BELOW`] the origin.
///
/// # Safety
/// `arena` is valid; `at` is the sum of 32 bits, an instruction's offset and [`BpfArena::BELOW`], and `bytes` 1 to 8.
pub unsafe extern "C" fn arena_has_fn(arena: *const BpfArena, at: u64, bytes: u64) -> u64 {
    // SAFETY: by the contract.
    let arena = unsafe { &*arena };
    u64::from(arena.has(at) && arena.has(at + bytes - 1))
}

/// Takes pages out of the range that has all of them; false when none has.
fn take(free: &mut BTreeMap<u32, u32>, page: u32, count: u32) -> bool {
    let Some((&at, &n)) = free.range(..=page).next_back() else {
        return false;
    };
    let (end, taken) = (u64::from(at) + u64::from(n), page.checked_add(count));
    let Some(taken) = taken.filter(|t| u64::from(*t) <= end) else {
        return false;
    };
    free.remove(&at);
    if at < page {
        free.insert(at, page - at);
    }
    if u64::from(taken) < end {
        free.insert(taken, at + n - taken);
    }
    true
}

/// Adds pages, some of which may be there already.
fn give(free: &mut BTreeMap<u32, u32>, page: u32, count: u32) {
    let (mut from, mut to) = (page, page + count);
    while let Some((&at, &n)) = free
        .range(..=to)
        .next_back()
        .filter(|(at, n)| *at + *n >= from)
    {
        free.remove(&at);
        from = from.min(at);
        to = to.max(at + n);
    }
    free.insert(from, to - from);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::Values;

    fn made(pages: usize, flags: u32) -> Box<dyn Store> {
        let spec = Spec {
            name: "a",
            kind: crate::maps::ARENA,
            key_size: 0,
            value_size: 0,
            max_entries: pages,
            flags,
            cpus: 1,
            seed: 0,
            perf_bytes: 0,
            values: Values::default(),
            extra: 0,
        };
        super::arena(&spec).expect("an arena")
    }

    /// What the host reads or writes comes to be, as far as the arena goes; with the flag it does not.
    #[test]
    fn the_host_makes_pages_by_touching_them() {
        let store = made(3, MMAPABLE);
        let arena = store.arena().expect("an arena");
        let at = arena.address() + PAGE - 2;
        assert_eq!(arena.load(at, 0, Size::W), 0);
        assert_eq!(arena.write(at, &[1, 2, 3, 4]), 0);
        assert_eq!(arena.load(at, 0, Size::W), 0x0403_0201);
        let mut out = [0; 2];
        assert_eq!(arena.read(at + 2, &mut out), 0);
        assert_eq!(out, [3, 4]);
        // The third is nobody's yet.
        assert_eq!(arena.allocate(0, 1), arena.address() + 2 * PAGE);
        let efault = err(libc::EFAULT);
        assert_eq!(arena.read(arena.address() - 1, &mut out), efault);
        assert_eq!(arena.read(arena.address() + 3 * PAGE - 1, &mut out), efault);
        assert_eq!(arena.read(u64::MAX, &mut out), efault);
        let store = made(1, MMAPABLE | SEGV_ON_FAULT);
        let arena = store.arena().expect("an arena");
        assert_eq!(arena.read(arena.address(), &mut out), efault);
        assert_eq!(arena.allocate(0, 1), arena.address());
        assert_eq!(arena.read(arena.address(), &mut out), 0);
    }

    #[test]
    fn pages_are_paid_for_and_given_back() {
        let store = made(8, MMAPABLE);
        let arena = store.arena().expect("an arena");
        let left = Arc::new(AtomicU64::new(2 * PAGE));
        arena.draw_on(&left);
        assert_eq!(arena.allocate(0, 3), 0);
        assert_eq!(arena.allocate(0, 2), arena.address());
        assert_eq!(
            arena.read(arena.address() + 4 * PAGE, &mut [0]),
            err(libc::EFAULT)
        );
        arena.release(arena.address() + PAGE, 7);
        assert_eq!(left.load(Relaxed), PAGE);
        assert_eq!(arena.reserve(arena.address() + 7 * PAGE, 1), 0);
        assert_eq!(left.load(Relaxed), PAGE);
        assert_eq!(
            arena.read(arena.address() + 7 * PAGE, &mut [0]),
            err(libc::EFAULT)
        );
        assert_eq!(left.load(Relaxed), PAGE);
    }

    /// All that 32 bits address, up to the last byte and not beyond.
    #[test]
    fn the_largest_arena_ends_where_addresses_do() {
        let store = made(1 << 20, MMAPABLE);
        let arena = store.arena().expect("an arena");
        assert_eq!(arena.write(arena.address() + SPAN - 8, &[7; 8]), 0);
        assert_eq!(arena.load(u64::MAX - 7, 0, Size::DW), 0x0707_0707_0707_0707);
        assert_eq!(arena.load(u64::MAX - 6, 0, Size::DW), 0);
        assert_eq!(arena.load(u64::MAX, 0, Size::B), 7);
        assert_eq!(arena.load(u64::MAX, i16::MAX, Size::DW), 0);
        assert_eq!(arena.load(0, i16::MIN, Size::DW), 0);
    }

    /// Every range of eight pages taken and given, beside a set of numbers.
    #[test]
    fn ranges_are_sets_of_pages() {
        let mut free = BTreeMap::from([(0, 8)]);
        let mut set = 0xffu32;
        let mut seed = 7u32;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (page, count) = (seed >> 8 & 7, 1 + (seed >> 16 & 7));
            let count = count.min(8 - page);
            let mask = ((1 << count) - 1) << page;
            if seed >> 24 & 1 == 0 {
                let all = set & mask == mask;
                assert_eq!(take(&mut free, page, count), all);
                set &= if all { !mask } else { !0 };
            } else {
                give(&mut free, page, count);
                set |= mask;
            }
            let found = free
                .iter()
                .fold(0, |all, (at, n)| all | ((1u32 << n) - 1) << at);
            assert_eq!(found, set);
            let ends: Vec<(u32, u32)> = free.iter().map(|(at, n)| (*at, at + n)).collect();
            assert!(ends.windows(2).all(|w| w[0].1 < w[1].0), "{ends:?}");
        }
    }
}
