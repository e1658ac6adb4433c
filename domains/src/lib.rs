//! Abstract numbers: what can be known of a 64-bit register without running the program.
//!
//! [`Tnum`] knows single bits, a range knows unsigned and signed bounds, and [`Scalar`] is the
//! reduced product of one tnum, one range of the 64 bits and one of the low 32, with a transfer
//! function for every arithmetic instruction, a decision and a refinement for every comparison.
//!
//! **Invariant:** every `Scalar` is non-empty and reduced: nothing one part
//! knows is missing from another. The bounds of the 64 bits are always members.
//!
//! **Invariant:** every operation is sound: it holds every concrete result of
//! members of its inputs. The tests run each on all members at small widths.
//!
//! **Invariant:** nothing here knows instructions, registers, pointers or files.

mod arith;
mod branch;
mod cast;
mod lattice;
mod logic;
#[cfg(feature = "proofs")]
mod proofs;
mod range;
mod scalar;
mod shift;
mod text;
mod tnum;
mod words;

#[cfg(test)]
mod tests;

pub use branch::Comparison;
pub use scalar::{Product, Scalar};
pub use text::ParseScalarError;
pub use tnum::Tnum;
