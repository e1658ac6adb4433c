//! What an instruction made of numbers, kept for when it meets the same numbers again.
//!
//! Paths that come to an instruction mostly bring the operands that the path before brought, and a comparison of
//! operands is much cheaper than what the domain computes of them.
//!
//! **Invariant:** what is kept depends on the instruction and its operands alone.

use probity_domains::Scalar;
use probity_isa::Pc;

/// Instructions that lie so far apart take each other's places.
const PLACES: usize = 256;

pub(crate) struct Memo<T> {
    /// Nothing is kept: instructions are seldom met again.
    off: bool,
    /// What was asked for last, where nothing is kept.
    last: Option<T>,
    /// Where what is kept of an instruction is, counted from 1; 0: nowhere yet. None where nothing is kept.
    places: Vec<u16>,
    kept: Vec<Box<Kept<T>>>,
}

struct Kept<T> {
    pc: Pc,
    x: Scalar,
    y: Scalar,
    result: T,
}

impl<T> Memo<T> {
    /// Where each instruction is met `once`, or few times, keeping costs more than it saves.
    #[inline]
    pub(crate) fn new(once: bool) -> Memo<T> {
        Memo {
            off: once,
            last: None,
            places: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// What the instruction makes of `x` and `y`, which `compute` tells.
    #[inline]
    pub(crate) fn get(
        &mut self,
        pc: Pc,
        x: &Scalar,
        y: &Scalar,
        compute: impl FnOnce() -> T,
    ) -> &T {
        if self.off {
            return self.last.insert(compute());
        }
        let at = match self.places.get(pc % PLACES) {
            Some(place) => usize::from(*place),
            None => {
                self.places = vec![0; PLACES];
                0
            }
        };
        if at == 0 {
            self.kept.push(Box::new(Kept {
                pc,
                x: *x,
                y: *y,
                result: compute(),
            }));
            self.places[pc % PLACES] = self.kept.len() as u16;
            return &self.kept[self.kept.len() - 1].result;
        }
        let kept = &mut self.kept[at - 1];
        if kept.pc != pc || kept.x != *x || kept.y != *y {
            (kept.pc, kept.x, kept.y) = (pc, *x, *y);
            kept.result = compute();
        }
        &kept.result
    }
}
