//! An allocator → one that counts the bytes held, while it is asked to.
//!
//! **Invariant:** nobody pays for the count but who asks: besides it, an allocation costs one load of a flag that
//! never changes. The count comes first, so that the call of the other allocator is the last: what that then
//! has no memory for is counted all the same.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering::Relaxed};

use crate::pool::Pool;

/// For `#[global_allocator]`.
#[derive(Debug, Default)]
pub struct Counting {
    on: AtomicBool,
    /// Bytes held, less what was held when the count began: what is freed of that makes it negative.
    held: AtomicIsize,
    peak: AtomicIsize,
}

impl Counting {
    pub const fn new() -> Counting {
        Counting {
            on: AtomicBool::new(false),
            held: AtomicIsize::new(0),
            peak: AtomicIsize::new(0),
        }
    }

    /// Does it, and tells how many bytes were asked for and not yet given back at most, over what was held before.
    /// All threads count. One count at a time: a second within the first ends it.
    pub fn peak_of<T>(&self, work: impl FnOnce() -> T) -> (T, usize) {
        self.held.store(0, Relaxed);
        self.peak.store(0, Relaxed);
        self.on.store(true, Relaxed);
        let ends = Ends(self);
        let result = work();
        drop(ends);
        let peak = self.peak.load(Relaxed);
        (result, usize::try_from(peak).unwrap_or(0))
    }

    #[inline]
    fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    #[cold]
    fn counted(&self, more: usize, less: usize) {
        // Sizes of allocations fit: `Layout` sees to that.
        let by = more as isize - less as isize;
        let held = self.held.fetch_add(by, Relaxed).wrapping_add(by);
        self.peak.fetch_max(held, Relaxed);
    }
}

/// Stops the count, also when the work panics.
struct Ends<'a>(&'a Counting);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.on.store(false, Relaxed);
    }
}

// SAFETY: every call goes to the other allocator as it came; counting touches atomics only and does not allocate.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.is_on() {
            self.counted(layout.size(), 0);
        }
        // SAFETY: the caller's promises are the same.
        unsafe { Pool.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if self.is_on() {
            self.counted(layout.size(), 0);
        }
        // SAFETY: the caller's promises are the same.
        unsafe { Pool.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        if self.is_on() {
            self.counted(0, layout.size());
        }
        // SAFETY: the caller's promises are the same.
        unsafe { Pool.dealloc(place, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if self.is_on() {
            self.counted(size, layout.size());
        }
        // SAFETY: the caller's promises are the same.
        unsafe { Pool.realloc(place, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not the global one: other tests allocate at the same time.
    fn hold(allocator: &Counting, size: usize) -> (*mut u8, Layout) {
        let layout = Layout::from_size_align(size, 8).expect("a small layout");
        // SAFETY: the size is not 0.
        let place = unsafe { allocator.alloc(layout) };
        assert!(!place.is_null());
        (place, layout)
    }

    fn give_back(allocator: &Counting, (place, layout): (*mut u8, Layout)) {
        // SAFETY: `hold` made it with this layout.
        unsafe { allocator.dealloc(place, layout) }
    }

    #[test]
    fn the_peak_is_over_what_was_held_before() {
        let allocator = Counting::new();
        let before = hold(&allocator, 4096);
        let ((), peak) = allocator.peak_of(|| {
            let a = hold(&allocator, 100);
            let b = hold(&allocator, 200);
            give_back(&allocator, a);
            let c = hold(&allocator, 50);
            give_back(&allocator, b);
            give_back(&allocator, c);
        });
        assert_eq!(peak, 300);
        let (held, peak) = allocator.peak_of(|| {
            give_back(&allocator, before);
            hold(&allocator, 1000)
        });
        assert_eq!(peak, 0, "less was held all the time than before");
        give_back(&allocator, held);
        assert_eq!(allocator.peak_of(|| ()).1, 0);
    }

    #[test]
    fn growing_in_place_counts_once() {
        let allocator = Counting::new();
        let ((), peak) = allocator.peak_of(|| {
            let (place, layout) = hold(&allocator, 64);
            // SAFETY: it was made with this layout, and 640 is not 0.
            let place = unsafe { allocator.realloc(place, layout, 640) };
            let layout = Layout::from_size_align(640, 8).expect("a small layout");
            give_back(&allocator, (place, layout));
        });
        assert_eq!(peak, 640);
    }
}
