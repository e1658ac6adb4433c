//! How programs are compiled.

/// What may be chosen; none of it changes what a program computes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// Optimise. Without, compilation is faster and code slower.
    pub optimise: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { optimise: true }
    }
}
