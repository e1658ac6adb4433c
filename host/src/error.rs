//! What a host cannot do, and why.

use std::path::PathBuf;

use probity_bundle::{Judgement, Verdict};
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
    /// Bytes that are no package, or not what they were.
    #[error("the package cannot be read: {0}")]
    Package(String),
    /// Its signer is not trusted.
    #[error("{}: {}", .0.verdict, .0.why)]
    Untrusted(Box<Judgement>),
    /// What it depends on is not loaded, or in another version.
    #[error("{}", .0.join("\n"))]
    Depends(Vec<String>),
    /// An extension that calls its functions cannot go on with the new ones.
    #[error("extension `{0}` calls its functions: {1}")]
    Dependent(String, Box<Error>),
    /// Others depend on it.
    #[error("extension `{name}` is in use by {}", .by.join(", "))]
    InUse { name: String, by: Vec<String> },
    /// A function that others are to call, and cannot.
    #[error("{0}")]
    Export(String),
    /// An image that is not as it was made, or was made elsewhere; nothing of it is used.
    #[error("{}: {why}", path.display())]
    Image { path: PathBuf, why: String },
    /// A file that a deployer names.
    #[error("{0}")]
    Deployment(String),
    /// The directories of trust and of state.
    #[error("{0}")]
    Store(String),
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

/// Exit statuses of a command that ends with such an error; those of verdicts on signers are below.
pub mod status {
    /// It uses more than it asks for or is granted.
    pub const DENIED: u8 = 9;
    /// It is for another host, or another version of a hook.
    pub const ABI: u8 = 10;
    /// It depends on what is not there, or others depend on it.
    pub const DEPENDENCIES: u8 = 11;
    /// Whoever asks may not.
    pub const NOT_PERMITTED: u8 = 12;
}

impl Error {
    /// Exit status of a command that ends with it.
    pub fn exit_status(&self) -> u8 {
        match self {
            Error::Untrusted(j) => j.verdict.exit_status(),
            // A package of which a byte was changed, found before its signature was looked at.
            Error::Package(_) | Error::Image { .. } => Verdict::BadSignature.exit_status(),
            Error::Denied(_) => status::DENIED,
            Error::Bind(_) => status::ABI,
            Error::Depends(_) | Error::Dependent(..) | Error::InUse { .. } => status::DEPENDENCIES,
            _ => 1,
        }
    }
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
