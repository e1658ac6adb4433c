//! An instruction → the nodes stored there, for the few instructions that have any, and how useful they were.
//!
//! Where paths never become alike, states that are stored cut nothing, and only cost: that is counted, and fewer are
//! stored there from then on. The count decides what is stored, and never what that proves.

use std::ops::{Index, IndexMut};

use probity_isa::Pc;

use super::nodes::Entry;

/// States stored at one instruction.
#[derive(Clone, Copy, Debug, Default)]
struct Yield {
    /// How many, where one that came when the last of the others was walked to its end without covering it counts [`MISS`]
    /// times: in the laps of a loop that is being walked states had no chance yet.
    stored: u32,
    /// How many of them cut a path.
    useful: u32,
}

/// What a chance missed counts.
const MISS: u32 = 4;
/// So much is stored before that is judged.
const TRIED: u32 = 16;
/// One useful state of so many is enough.
const RARELY: u32 = 16;

pub(super) struct At {
    /// Of so many instructions.
    insns: usize,
    /// Where each instruction's list is, and 1; 0: it has none yet. None before there is a list.
    places: Vec<u32>,
    lists: Vec<Vec<Entry>>,
    /// Of each list.
    yields: Vec<Yield>,
    /// In place of one that is not there.
    none: Vec<Entry>,
}

impl At {
    pub(super) fn new(insns: usize) -> At {
        At {
            insns,
            places: Vec::new(),
            lists: Vec::new(),
            yields: Vec::new(),
            none: Vec::new(),
        }
    }

    /// A state was stored there, which the last one there might have covered or not.
    pub(super) fn stored(&mut self, pc: Pc, missed: bool) {
        if let Some(all) = self.yield_mut(pc) {
            all.stored = all.stored.saturating_add(if missed { MISS } else { 1 });
        }
    }

    /// A state that was stored there cut a path, for the first time.
    pub(super) fn useful(&mut self, pc: Pc) {
        if let Some(all) = self.yield_mut(pc) {
            all.useful = all.useful.saturating_add(1);
        }
    }

    /// Hardly any of the states that were stored there cut a path.
    pub(super) fn is_barren(&self, pc: Pc) -> bool {
        let place = self.places.get(pc).map_or(0, |p| *p as usize);
        let all = place.checked_sub(1).and_then(|p| self.yields.get(p));
        all.is_some_and(|y| y.stored >= TRIED && y.useful < y.stored / RARELY)
    }

    fn yield_mut(&mut self, pc: Pc) -> Option<&mut Yield> {
        let place = *self.places.get(pc)? as usize;
        self.yields.get_mut(place.checked_sub(1)?)
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
            self.yields.push(Yield::default());
            *place = self.lists.len() as u32;
        }
        &mut self.lists[*place as usize - 1]
    }
}
