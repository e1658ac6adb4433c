//! What paths found of each instruction → one [`Fact`] each, when all are walked.
//!
//! While paths are walked, their states are what takes memory: here an instruction has room for an access when it makes one.
//!
//! **Invariant:** an access that is kept stands for those of all paths walked so far.

use probity_isa::Pc;

use crate::report::{Access, Fact};

pub(crate) struct Facts {
    reached: Vec<bool>,
    /// Where each instruction's access is in the list, and 1; 0: it has none.
    places: Vec<u32>,
    accesses: Vec<Option<Access>>,
}

impl Facts {
    /// Of so many instructions, none of which is reached.
    pub(crate) fn new(insns: usize) -> Facts {
        Facts {
            reached: vec![false; insns],
            places: vec![0; insns],
            accesses: Vec::new(),
        }
    }

    pub(crate) fn is_reached(&self, pc: Pc) -> bool {
        self.reached.get(pc).is_some_and(|r| *r)
    }

    pub(crate) fn set_reached(&mut self, pc: Pc, reached: bool) {
        if let Some(r) = self.reached.get_mut(pc) {
            *r = reached;
        }
    }

    pub(crate) fn access(&self, pc: Pc) -> Option<Access> {
        let at = self.places.get(pc)?.checked_sub(1)?;
        *self.accesses.get(at as usize)?
    }

    pub(crate) fn set_access(&mut self, pc: Pc, access: Option<Access>) {
        let Some(place) = self.places.get_mut(pc) else {
            return;
        };
        if *place == 0 {
            self.accesses.push(None);
            // Programs have fewer instructions.
            *place = u32::try_from(self.accesses.len()).unwrap_or(0);
        }
        if let Some(at) = place.checked_sub(1)
            && let Some(known) = self.accesses.get_mut(at as usize)
        {
            *known = access;
        }
    }

    /// Of each instruction. `ways` are those taken at conditional jumps: 1 falls through, 2 jumps.
    pub(crate) fn all(&self, ways: &[u8]) -> Vec<Fact> {
        let insns = self.reached.iter().zip(&self.places).zip(ways);
        let fact = |((reached, place), ways): ((&bool, &u32), &u8)| Fact {
            reached: *reached,
            access: match place {
                0 => None,
                place => self.accesses.get(*place as usize - 1).copied().flatten(),
            },
            map: None,
            decided: match ways {
                1 => Some(false),
                2 => Some(true),
                _ => None,
            },
        };
        insns.map(fact).collect()
    }
}
