//! What paths found of each instruction → one [`Fact`] each, when all are walked.
//!
//! While paths are walked, their states are what takes memory: here an instruction has room for an access when it makes one.
//!
//! **Invariant:** an access that is kept stands for those of all paths walked so far.

use probity_isa::Pc;

use crate::report::{Access, Fact};

const REACHED: u32 = 1 << 31;
/// Ways taken at a conditional jump, from this bit on.
const WAYS: u32 = 29;
/// Where the access is. Programs have fewer instructions.
const PLACE: u32 = (1 << WAYS) - 1;

pub(crate) struct Facts {
    /// Of each instruction: whether it is [`REACHED`], the ways taken, and where its access is in the list, and 1; 0: it
    /// has none.
    places: Vec<u32>,
    accesses: Vec<Option<Access>>,
}

impl Facts {
    /// Of so many instructions, none of which is reached.
    pub(crate) fn new(insns: usize) -> Facts {
        Facts {
            places: vec![0; insns],
            accesses: Vec::with_capacity(insns.min(8)),
        }
    }

    pub(crate) fn is_reached(&self, pc: Pc) -> bool {
        self.places.get(pc).is_some_and(|p| p & REACHED != 0)
    }

    pub(crate) fn set_reached(&mut self, pc: Pc, reached: bool) {
        if let Some(place) = self.places.get_mut(pc) {
            *place = *place & !REACHED | if reached { REACHED } else { 0 };
        }
    }

    pub(crate) fn access(&self, pc: Pc) -> Option<Access> {
        let at = (self.places.get(pc)? & PLACE).checked_sub(1)?;
        *self.accesses.get(at as usize)?
    }

    pub(crate) fn set_access(&mut self, pc: Pc, access: Option<Access>) {
        let Some(place) = self.places.get_mut(pc) else {
            return;
        };
        if *place & PLACE == 0 {
            self.accesses.push(None);
            let at = u32::try_from(self.accesses.len()).unwrap_or(0);
            *place |= at & PLACE;
        }
        if let Some(at) = (*place & PLACE).checked_sub(1)
            && let Some(known) = self.accesses.get_mut(at as usize)
        {
            *known = access;
        }
    }

    /// Ways taken at a conditional jump: 1 falls through, 2 jumps.
    pub(crate) fn ways(&self, pc: Pc) -> u8 {
        self.places.get(pc).map_or(0, |p| (p >> WAYS & 3) as u8)
    }

    pub(crate) fn set_ways(&mut self, pc: Pc, ways: u8) {
        if let Some(place) = self.places.get_mut(pc) {
            *place = *place & !(3 << WAYS) | u32::from(ways & 3) << WAYS;
        }
    }

    /// Of each instruction.
    pub(crate) fn all(&self) -> Vec<Fact> {
        let fact = |place: &u32| Fact {
            reached: place & REACHED != 0,
            access: match place & PLACE {
                0 => None,
                at => self.accesses.get(at as usize - 1).copied().flatten(),
            },
            map: None,
            decided: match place >> WAYS & 3 {
                1 => Some(false),
                2 => Some(true),
                _ => None,
            },
        };
        self.places.iter().map(fact).collect()
    }
}
