//! What paths found of each instruction → one [`Fact`] each, when all are walked.
//!
//! While paths are walked, their states are what takes memory: here an instruction has room for an access when it makes one.
//!
//! **Invariant:** an access that is kept stands for those of all paths walked so far.

use probity_isa::Pc;

use crate::report::{Access, Fact};

const REACHED: u32 = 1 << 31;

pub(crate) struct Facts {
    /// Of each instruction: whether it is [`REACHED`], and where its access is in the list, and 1; 0: it has none.
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
        let at = (self.places.get(pc)? & !REACHED).checked_sub(1)?;
        *self.accesses.get(at as usize)?
    }

    pub(crate) fn set_access(&mut self, pc: Pc, access: Option<Access>) {
        let Some(place) = self.places.get_mut(pc) else {
            return;
        };
        if *place & !REACHED == 0 {
            self.accesses.push(None);
            // Programs have fewer instructions.
            let at = u32::try_from(self.accesses.len()).unwrap_or(0);
            *place = *place & REACHED | at & !REACHED;
        }
        if let Some(at) = (*place & !REACHED).checked_sub(1)
            && let Some(known) = self.accesses.get_mut(at as usize)
        {
            *known = access;
        }
    }

    /// Of each instruction. `ways` are those taken at conditional jumps: 1 falls through, 2 jumps.
    pub(crate) fn all(&self, ways: &[u8]) -> Vec<Fact> {
        let fact = |(place, ways): (&u32, &u8)| Fact {
            reached: place & REACHED != 0,
            access: match place & !REACHED {
                0 => None,
                at => self.accesses.get(at as usize - 1).copied().flatten(),
            },
            map: None,
            decided: match ways {
                1 => Some(false),
                2 => Some(true),
                _ => None,
            },
        };
        self.places.iter().zip(ways).map(fact).collect()
    }
}
