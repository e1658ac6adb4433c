//! Parts of states that most have none of: they take a word then.

use std::ops::{Deref, DerefMut};

use crate::regions::Regions;

/// What there is when there is nothing.
pub(crate) trait Empty: Default + 'static {
    const EMPTY: &'static Self;
}

impl<T: 'static> Empty for Vec<T> {
    const EMPTY: &'static Vec<T> = &Vec::new();
}

impl Empty for Regions {
    const EMPTY: &'static Regions = &Regions {
        locks: Vec::new(),
        rcu: 0,
        preempt: 0,
        irqs: Vec::new(),
    };
}

/// A list, or its like. To write to it makes room for it.
#[derive(Clone, Debug)]
pub(crate) struct Seldom<T>(Option<Box<T>>);

impl<T> Default for Seldom<T> {
    fn default() -> Seldom<T> {
        Seldom(None)
    }
}

impl<T: Empty + PartialEq> PartialEq for Seldom<T> {
    fn eq(&self, other: &Seldom<T>) -> bool {
        **self == **other
    }
}

impl<T: Empty + Eq> Eq for Seldom<T> {}

impl<T: Empty> Deref for Seldom<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.0 {
            Some(there) => there,
            None => T::EMPTY,
        }
    }
}

impl<T: Empty> DerefMut for Seldom<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Seldom;

    #[test]
    fn what_was_emptied_is_what_was_never_there() {
        let never: Seldom<Vec<u32>> = Seldom::default();
        let mut list = never.clone();
        assert!(list.is_empty());
        list.push(1);
        assert_ne!(list, never);
        assert_eq!(list.pop(), Some(1));
        assert_eq!(list, never);
    }
}
