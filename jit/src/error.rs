//! Why programs cannot be compiled.

use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host's instruction set has no back end, or an unsuitable one.
    #[error("this machine: {0}")]
    Host(String),
    /// A verified instruction that this engine cannot compile.
    #[error("program {program}, instruction {pc}: {what} cannot be compiled")]
    Unsupported {
        program: String,
        pc: usize,
        what: String,
    },
    /// The code generator refuses a function (most often: it is too large).
    #[error("program {program}, function {function}: {message}")]
    Codegen {
        program: String,
        function: String,
        message: String,
    },
    /// The system gives no memory for code.
    #[error("{bytes} bytes of memory for code: {message}")]
    Memory { bytes: usize, message: String },
    /// A directory that may not hold code that is run.
    #[error("the cache {path}: {message}", path = path.display())]
    Cache { path: PathBuf, message: String },
    /// Bytes that are no image of this user's.
    #[error("the image cannot be used: {0}")]
    Image(String),
    /// Code that refers to what is not there.
    #[error("linking: {0}")]
    Link(String),
    #[error("there is no program {0}")]
    NoProgram(usize),
}
