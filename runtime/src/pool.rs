//! The system's allocator → one that keeps what a thread gives back, by size, for what the thread asks for next.
//!
//! A walk over a program's paths copies small states and drops them again all the time, which is what general
//! allocators are slowest at: theirs is a search for a place that fits, this is a list of places that do.
//!
//! **Invariant:** every block comes from the system's allocator with the size of its class, and goes back to it with
//! that size, from whatever thread; so blocks of a class may take each other's places.
//!
//! **Invariant:** a thread keeps at most [`KEPT_BYTES`] of a class, and nothing once it has ended.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::null_mut;

/// Sizes up to a multiple of this are one class. All blocks are aligned to it.
const STEP: usize = 16;
/// Blocks up to [`STEP`] times this are kept.
const CLASSES: usize = 128;
const KEPT_BYTES: usize = 128 << 10;

/// For `#[global_allocator]`.
#[derive(Debug, Default)]
pub struct Pool;

thread_local! {
    // Apart from what ends it: what has no destructor is reached without asking whether that has run.
    static KEPT: Kept = const { Kept::new() };
    static ENDS: Ends = const { Ends };
}

/// Blocks that were given back.
struct Kept {
    lists: [List; CLASSES],
    phase: Cell<Phase>,
}

/// Those of a class.
struct List {
    /// Each holds, at its start, where the next one is.
    first: Cell<*mut u8>,
    /// Blocks that may still be kept: none before anything was, and after the thread has ended.
    room: Cell<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing is kept yet.
    New,
    /// What is kept goes back when the thread ends.
    On,
    Ended,
}

/// The thread ends.
struct Ends;

impl Drop for Ends {
    fn drop(&mut self) {
        KEPT.with(|kept| {
            kept.phase.set(Phase::Ended);
            for (class, list) in kept.lists.iter().enumerate() {
                while let Some(place) = list.take() {
                    // SAFETY: it came from there with this layout.
                    unsafe { System.dealloc(place, layout(class)) }
                }
                list.room.set(0);
            }
        });
    }
}

impl Kept {
    const fn new() -> Kept {
        Kept {
            lists: [const { List::new() }; CLASSES],
            phase: Cell::new(Phase::New),
        }
    }

    /// From now on blocks are kept, when the thread's end can see to it that none is for ever.
    fn begin(&self) -> bool {
        let on = self.phase.get() == Phase::New && ENDS.try_with(|_| ()).is_ok();
        if on {
            self.phase.set(Phase::On);
            for (class, list) in self.lists.iter().enumerate() {
                list.room.set(KEPT_BYTES / size(class));
            }
        }
        on
    }
}

impl List {
    const fn new() -> List {
        List {
            first: Cell::new(null_mut()),
            room: Cell::new(0),
        }
    }

    #[inline]
    fn take(&self) -> Option<*mut u8> {
        let place = self.first.get();
        if place.is_null() {
            return None;
        }
        // SAFETY: a block that is kept holds, at its start, where the next one is (`keep` wrote it), and is aligned
        // for that.
        self.first.set(unsafe { place.cast::<*mut u8>().read() });
        self.room.set(self.room.get() + 1);
        Some(place)
    }

    /// Whether there was room.
    ///
    /// # Safety
    ///
    /// The block is of the list's class, and nobody uses it any more.
    #[inline]
    unsafe fn keep(&self, place: *mut u8) -> bool {
        let Some(room) = self.room.get().checked_sub(1) else {
            return false;
        };
        // SAFETY: the block has at least STEP bytes, is aligned to as many, and is ours now.
        unsafe { place.cast::<*mut u8>().write(self.first.get()) };
        self.first.set(place);
        self.room.set(room);
        true
    }
}

/// # Safety
///
/// As of [`List::keep`].
#[cold]
#[inline(never)]
unsafe fn without_room(class: usize, place: *mut u8) {
    // SAFETY: the caller's promises are the same.
    let kept = KEPT.with(|k| k.begin() && unsafe { k.lists[class].keep(place) });
    if !kept {
        // SAFETY: it came from there with this layout.
        unsafe { System.dealloc(place, layout(class)) }
    }
}

/// The largest size of a class.
#[inline]
const fn size(class: usize) -> usize {
    (class + 1) * STEP
}

#[inline]
fn layout(class: usize) -> Layout {
    // SAFETY: STEP is a power of two, and a class's size is far from isize::MAX and a multiple of STEP.
    unsafe { Layout::from_size_align_unchecked(size(class), STEP) }
}

/// The class of a block; `None`: it is the system's alone. Sizes are not 0: `GlobalAlloc` forbids that.
#[inline]
fn class(layout: &Layout) -> Option<usize> {
    let class = layout.size().wrapping_sub(1) / STEP;
    (class < CLASSES && layout.align() <= STEP).then_some(class)
}

// SAFETY: blocks with a class are the system's with the class's layout, and are in use or on one list at a time; all
// others are the system's as they are asked for. Nothing here panics, or allocates by way of itself: the lists are there
// as long as their thread, and need nothing done before or after.
unsafe impl GlobalAlloc for Pool {
    #[inline]
    unsafe fn alloc(&self, wanted: Layout) -> *mut u8 {
        let Some(class) = class(&wanted) else {
            // SAFETY: the caller's promises are the same.
            return unsafe { System.alloc(wanted) };
        };
        match KEPT.with(|k| k.lists[class].take()) {
            Some(place) => place,
            // SAFETY: the size is not 0.
            None => unsafe { System.alloc(layout(class)) },
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, wanted: Layout) -> *mut u8 {
        if class(&wanted).is_none() {
            // SAFETY: the caller's promises are the same.
            return unsafe { System.alloc_zeroed(wanted) };
        }
        // SAFETY: the caller's promises are the same.
        let place = unsafe { self.alloc(wanted) };
        if !place.is_null() {
            // SAFETY: the block has at least so many bytes.
            unsafe { place.write_bytes(0, wanted.size()) };
        }
        place
    }

    #[inline]
    unsafe fn dealloc(&self, place: *mut u8, given: Layout) {
        let Some(class) = class(&given) else {
            // SAFETY: the caller's promises are the same, and it came from there.
            return unsafe { System.dealloc(place, given) };
        };
        // SAFETY: it was asked for with this layout, so it is of this class; the caller gives it up.
        if !KEPT.with(|k| unsafe { k.lists[class].keep(place) }) {
            // SAFETY: see above.
            unsafe { without_room(class, place) }
        }
    }

    unsafe fn realloc(&self, place: *mut u8, given: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that it does not overflow, and its alignment is one.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, given.align()) };
        match (class(&given), class(&wanted)) {
            // SAFETY: the caller's promises are the same, and it came from there.
            (None, None) => unsafe { System.realloc(place, given, size) },
            (Some(a), Some(b)) if a == b => place,
            _ => {
                // SAFETY: the size is not 0.
                let new = unsafe { self.alloc(wanted) };
                if !new.is_null() {
                    // SAFETY: both blocks have so many bytes, and are not one; the old one is given up.
                    unsafe {
                        new.copy_from_nonoverlapping(place, given.size().min(size));
                        self.dealloc(place, given);
                    }
                }
                new
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("a small layout")
    }

    /// The block, filled with its number.
    fn hold(size: usize, fill: u8) -> (*mut u8, Layout) {
        let layout = of(size, 8);
        // SAFETY: the size is not 0, and the block has so many bytes.
        let place = unsafe { Pool.alloc(layout) };
        assert!(!place.is_null());
        // SAFETY: see above.
        unsafe { place.write_bytes(fill, size) };
        (place, layout)
    }

    fn holds((place, layout): (*mut u8, Layout), fill: u8) -> bool {
        // SAFETY: `hold` made it, and filled so many bytes.
        let bytes = unsafe { std::slice::from_raw_parts(place, layout.size()) };
        bytes.iter().all(|b| *b == fill)
    }

    fn give_back((place, layout): (*mut u8, Layout)) {
        // SAFETY: `hold` made it with this layout.
        unsafe { Pool.dealloc(place, layout) }
    }

    #[test]
    fn blocks_in_use_are_apart() {
        // Sizes around the borders of classes and the largest one, given back and asked for in another order.
        let sizes: Vec<usize> = (1..70).chain(2030..2070).chain([4096, 1 << 17]).collect();
        for round in 0..3u8 {
            let all: Vec<_> = (0u8..)
                .zip(&sizes)
                .map(|(i, s)| hold(*s, i ^ round))
                .collect();
            for (i, b) in (0u8..).zip(&all) {
                assert!(holds(*b, i ^ round), "size {}", b.1.size());
                assert_eq!(b.0 as usize % 8, 0);
            }
            let (even, odd): (Vec<_>, Vec<_>) = all.into_iter().partition(|b| b.1.size() % 2 == 0);
            odd.into_iter().rev().chain(even).for_each(give_back);
        }
    }

    #[test]
    fn what_was_given_back_is_given_next() {
        let a = hold(1000, 1);
        give_back(a);
        let b = hold(1001, 2);
        assert_eq!(a.0, b.0, "one class");
        // SAFETY: it was asked for with this layout.
        let c = unsafe { Pool.alloc_zeroed(of(1000, 16)) };
        assert_ne!(b.0, c, "in use");
        give_back((c, of(1000, 16)));
        give_back(b);
        // SAFETY: the size is not 0.
        let zeroed = (unsafe { Pool.alloc_zeroed(of(1000, 8)) }, of(1000, 8));
        assert_eq!(zeroed.0, b.0);
        assert!(holds(zeroed, 0));
        give_back(zeroed);
    }

    #[test]
    fn growing_and_shrinking_keeps_the_bytes() {
        let sizes = [3, 16, 17, 2048, 2049, 70_000, 5000, 2048, 2000, 40, 33, 1];
        let mut block = hold(8, 7);
        for size in sizes {
            let kept = block.1.size().min(size);
            // SAFETY: it was made with this layout, and the size is not 0.
            let place = unsafe { Pool.realloc(block.0, block.1, size) };
            assert!(!place.is_null());
            assert!(holds((place, of(kept, 8)), 7), "to {size}");
            // SAFETY: the block has so many bytes now.
            unsafe { place.write_bytes(7, size) };
            block = (place, of(size, 8));
        }
        give_back(block);
    }

    #[test]
    fn alignment_beyond_the_classes_is_the_systems() {
        for align in [32, 64, 4096] {
            let layout = of(100, align);
            // SAFETY: the size is not 0.
            let place = unsafe { Pool.alloc(layout) };
            assert_eq!(place as usize % align, 0);
            give_back((place, layout));
        }
    }

    #[test]
    fn a_thread_keeps_a_little_and_another_may_give_back() {
        let many: Vec<_> = (0..2 * KEPT_BYTES / 1024).map(|_| hold(1024, 5)).collect();
        let places: Vec<usize> = many.iter().map(|b| b.0 as usize).collect();
        let kept = std::thread::spawn(move || {
            for place in places {
                give_back((place as *mut u8, of(1024, 8)));
            }
            KEPT.with(|k| k.lists[1024 / STEP - 1].room.get())
        });
        let room = kept.join().expect("the thread ends");
        assert_eq!(room, 0, "half of them were kept");
    }
}
