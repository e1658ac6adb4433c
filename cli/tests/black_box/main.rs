//! The `probity` command as a stranger meets it: run as a process, judged by what it prints and
//! how it exits.
//!
//! **Invariant:** every run has a time limit and an address-space limit, so a hang or an
//! allocation without bound is a failure here and no nuisance for the machine.

mod attach;
mod bad_input;
mod bench;
mod bench_run;
mod btf;
mod documents;
mod help;
mod hook;
mod imports;
mod link;
mod options;
mod package;
mod process;
mod run;
mod script_samples;
mod text_forms;
mod trace;
mod unit;
mod verify;

use process::{Done, Scratch, probity, programs};
