//! How programs are compiled.

use crate::lowerings::Lowerings;

/// What may be chosen; none of it changes what a program computes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// Optimise. Without, compilation is faster and code slower.
    pub optimise: bool,
    /// What is done beyond a plain translation: all of it, but in tests and measurements.
    pub lowerings: Lowerings,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            optimise: true,
            lowerings: Lowerings::ALL,
        }
    }
}
