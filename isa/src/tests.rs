//! Tests over the whole table, with [`samples`] as their one source of instructions.

mod llvm;
mod random;
mod round_trip;
mod samples;
mod text;
