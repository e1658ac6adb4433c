//! The interpreter and the compiler give the same results, and the right ones.

mod alu;
mod calls;
mod cases;
mod conformance;
mod epoch;
mod globals;
mod harness;
mod kernel;
mod objects;
mod random;
mod results;
mod strings;
