//! Directories ⇄ who is trusted, what was decided, and the packages that are there.
//!
//! [`Store`] is the pair of directories that commands and hosts share: in one the deployer says who is trusted, in the other it is
//! remembered what was seen, in a log that nobody changes unseen. [`package`] reads and writes packages as files.
//! [`installed`] is the set of extensions that a machine has.
//!
//! **Invariant:** a kill at any instant leaves the old or the new of each file.
//!
//! **Invariant:** what everybody may write is not believed.

mod error;
mod files;
pub mod installed;
pub mod package;
mod trusted;

pub use error::{Error, Result};
pub use files::{HEAD, LOG, Lock, append, head, lock, now, read, read_guarded, read_text, replace};
pub use trusted::{BUILTIN, POLICY, REVOKED, SECONDARY, Store, VERSIONS};
