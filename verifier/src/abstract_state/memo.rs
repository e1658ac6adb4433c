//! What an instruction made of numbers, kept for when it meets the same numbers again.
//!
//! Paths that come to an instruction mostly bring the operands that the path before brought, and a comparison of
//! operands is much cheaper than what the domain computes of them.
//!
//! **Invariant:** what is kept depends on the instruction and its operands alone.

use probity_domains::Scalar;
use probity_isa::Pc;

pub(crate) struct Memo<T> {
    /// By instruction, where its result is, counted from 1; 0: nowhere yet.
    at: Vec<u32>,
    kept: Vec<(Scalar, Scalar, T)>,
}

impl<T> Memo<T> {
    pub(crate) fn new(insns: usize) -> Memo<T> {
        Memo {
            at: vec![0; insns],
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
        let at = self.at[pc] as usize;
        if at == 0 {
            self.kept.push((*x, *y, compute()));
            self.at[pc] = self.kept.len() as u32;
            return &self.kept[self.kept.len() - 1].2;
        }
        let kept = &mut self.kept[at - 1];
        if kept.0 != *x || kept.1 != *y {
            *kept = (*x, *y, compute());
        }
        &kept.2
    }
}
