//! What takes several calls, of one hook or of several → one generation for all of them.
//!
//! A request passes a hook when it comes and another one when it is answered, and may wait for long between. A [`Pinned`] is taken
//! when it comes and dropped when it is over; all calls through it are answered by the generation of that moment
//! ([`crate::Caller::at`]), which is not retired before. Requests of one thread that come in one generation share a slot,
//! so that pinning costs two comparisons and an addition as long as there is always one under way.
//!
//! **Invariant:** a generation that is pinned is in a slot for as long as something is pinned to it.
//!
//! **Invariant:** nothing is held while nothing is under way.

use std::cell::{Cell, RefCell};
use std::ptr::null;
use std::rc::Rc;
use std::sync::Arc;

use crate::host::{Host, Shared};
use crate::world::{Slot, World};

/// What one thread pins generations with.
pub struct Pins {
    /// The one that was taken last.
    last: RefCell<Rc<Place>>,
    /// One for each generation in which something is under way, and some that are free.
    all: RefCell<Vec<Rc<Place>>>,
    shared: Arc<Shared>,
}

struct Place {
    slot: Arc<Slot>,
    users: Cell<usize>,
    /// Valid while there are users.
    world: Cell<*const World>,
    shared: Arc<Shared>,
}

/// A generation that stays until this is dropped.
pub struct Pinned(Rc<Place>);

impl Host {
    /// For one thread.
    pub fn pins(&self) -> Pins {
        let shared = self.shared.clone();
        let first = Place::new(&shared);
        Pins {
            last: RefCell::new(first.clone()),
            all: RefCell::new(vec![first]),
            shared,
        }
    }
}

impl Pins {
    /// The generation of this moment; `None` while maps are migrated to the next one, which waits for what is pinned: whoever
    /// gets none lets others go on, and asks again.
    #[inline]
    pub fn pin(&self) -> Option<Pinned> {
        let last = self.last.borrow();
        if last.users.get() == 0 {
            return last.enter();
        }
        if last.world.get() == self.shared.worlds.current() {
            return Some(Pinned::new(&last));
        }
        drop(last);
        self.another()
    }

    /// The last one holds a generation that has ended.
    #[cold]
    fn another(&self) -> Option<Pinned> {
        let free = {
            let mut all = self.all.borrow_mut();
            let found = all.iter().find(|p| p.users.get() == 0).cloned();
            found.unwrap_or_else(|| {
                let new = Place::new(&self.shared);
                all.push(new.clone());
                new
            })
        };
        let pinned = free.enter()?;
        *self.last.borrow_mut() = free;
        Some(pinned)
    }
}

impl Place {
    fn new(shared: &Arc<Shared>) -> Rc<Place> {
        Rc::new(Place {
            slot: shared.worlds.enlist_holder(),
            users: Cell::new(0),
            world: Cell::new(null()),
            shared: shared.clone(),
        })
    }

    /// The first user of the generation of this moment.
    #[inline]
    fn enter(self: &Rc<Place>) -> Option<Pinned> {
        match self.shared.worlds.try_enter(&self.slot) {
            Some(world) => {
                self.world.set(world);
                Some(Pinned::new(self))
            }
            None => {
                self.slot.leave();
                None
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.worlds.discharge_holder(&self.slot);
        self.shared.worlds.collect();
    }
}

impl Pinned {
    #[inline]
    fn new(place: &Rc<Place>) -> Pinned {
        place.users.set(place.users.get() + 1);
        Pinned(place.clone())
    }

    /// Counts publications of the host: loads, replacements and whatever else changes what its hooks answer with.
    pub fn number(&self) -> u64 {
        self.world().number
    }

    #[inline]
    pub(crate) fn is_of(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.0.shared, shared)
    }

    #[inline]
    pub(crate) fn world(&self) -> &World {
        // SAFETY: it was current after the slot said so, and the slot says so until the last user is gone, which this one is not.
        unsafe { &*self.0.world.get() }
    }
}

impl Drop for Pinned {
    #[inline]
    fn drop(&mut self) {
        let left = self.0.users.get() - 1;
        self.0.users.set(left);
        if left == 0 {
            self.0.slot.leave();
        }
    }
}
