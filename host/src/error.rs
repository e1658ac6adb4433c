//! What a host cannot do, and why.

use probity_verifier::Rejection;

use crate::bind::BindError;
use crate::grants::Denied;
use crate::schema::Conflict;

/// Errors of this crate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host says something of itself that cannot be.
    #[error("the host's description: {0}")]
    Description(String),
    #[error("the host has no hook `{0}`")]
    NoHook(String),
    /// The hook is called with another structure.
    #[error("hook `{hook}` is called with `struct {theirs}`, not `struct {ours}`")]
    Context {
        hook: String,
        ours: String,
        theirs: String,
    },
    #[error("the object cannot be read: {0}")]
    Object(String),
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Not proved safe, or not within its hook's bounds.
    #[error("{}", list(.0))]
    Refused(Vec<Refusal>),
    /// It uses what it does not ask for, or is not granted.
    #[error("{}", list(.0))]
    Denied(Vec<Denied>),
    #[error("extension `{0}` is loaded already; replace it")]
    Loaded(String),
    #[error("no extension `{0}` is loaded")]
    NotLoaded(String),
    /// The new generation's maps are not those of the old one.
    #[error("{}", list(.0))]
    Maps(Vec<Conflict>),
    #[error("{0}")]
    Instance(String),
    #[error("the compiler: {0}")]
    Engine(String),
    /// Callers of the old generation have not left in time; all is as it was.
    #[error("callers of the old generation have not left in time; it stays")]
    Busy,
}

fn list<T: ToString>(all: &[T]) -> String {
    all.iter().map(T::to_string).collect::<Vec<_>>().join("\n")
}

/// A program that a host does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub program: String,
    pub section: String,
    pub rejection: Box<Rejection>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "program `{}` ({}): {}",
            self.program, self.section, self.rejection
        )
    }
}
