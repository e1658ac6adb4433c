//! An instruction → the nodes stored there, for the few instructions that have any.

use std::ops::{Index, IndexMut};

use probity_isa::Pc;

use super::nodes::Entry;

pub(super) struct At {
    /// Of so many instructions.
    insns: usize,
    /// Where each instruction's list is, and 1; 0: it has none yet. None before there is a list.
    places: Vec<u32>,
    lists: Vec<Vec<Entry>>,
    /// In place of one that is not there.
    none: Vec<Entry>,
}

impl At {
    pub(super) fn new(insns: usize) -> At {
        At {
            insns,
            places: Vec::new(),
            lists: Vec::new(),
            none: Vec::new(),
        }
    }

    /// The list, where there is one.
    pub(super) fn get_mut(&mut self, pc: Pc) -> Option<&mut Vec<Entry>> {
        match *self.places.get(pc)? {
            0 => None,
            place => self.lists.get_mut(place as usize - 1),
        }
    }
}

impl Index<Pc> for At {
    type Output = Vec<Entry>;

    #[inline]
    fn index(&self, pc: Pc) -> &Vec<Entry> {
        match self.places.get(pc) {
            None | Some(0) => &self.none,
            Some(place) => &self.lists[*place as usize - 1],
        }
    }
}

impl IndexMut<Pc> for At {
    #[inline]
    fn index_mut(&mut self, pc: Pc) -> &mut Vec<Entry> {
        if self.places.is_empty() {
            self.places = vec![0; self.insns];
        }
        let place = &mut self.places[pc];
        if *place == 0 {
            // Programs have fewer instructions.
            self.lists.push(Vec::new());
            *place = self.lists.len() as u32;
        }
        &mut self.lists[*place as usize - 1]
    }
}
