//! Parts of states that several share until one of them writes; lists of what is kept of many.

use std::rc::Rc;

/// To write to: a copy of its own, where others need the old one.
///
/// The same as [`Rc::make_mut`]; mostly nobody else has it, and then this is no call.
#[inline]
pub(crate) fn own<T: Clone>(shared: &mut Rc<T>) -> &mut T {
    if Rc::get_mut(shared).is_none() {
        copied(shared);
    }
    match Rc::get_mut(shared) {
        Some(own) => own,
        // There are no weak references, so this does not happen.
        None => unreachable!("a copy is one's own"),
    }
}

/// Adds to a list that may become long: it never has room for half as many again.
#[inline]
pub(crate) fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() == list.capacity() && list.len() >= LONG {
        list.reserve_exact(list.len() / 4);
    }
    list.push(item);
}

/// Shorter lists grow as they do.
const LONG: usize = 64;

#[inline(never)]
fn copied<T: Clone>(shared: &mut Rc<T>) {
    Rc::make_mut(shared);
}
