//! `Verified` → a signed package → `Object`, to be verified again: what an extension is shipped as,
//! and whether its signer is trusted.
//!
//! [`seal`] makes a [`Sealed`] package of a proof and of what the vendor says of it; [`Sealed::sign`] signs
//! it; [`Package::to_bytes`] and [`Package::open`] are its bytes, [`oci`] wraps them as an image that
//! registries carry. [`Trust::judge`] answers with a [`Verdict`]; [`Package::object`] gives the object,
//! which is not trusted, whatever the verdict: a signature says who, never whether it is safe here.
//! [`log`] chains what was decided.
//!
//! **Invariant:** unverified code cannot be signed: only `seal` leads to `sign`, and it takes a proof.
//!
//! **Invariant:** a package has one encoding (`canonical`), all of which is signed; bytes that are not
//! what encoding what was read would give are refused.
//!
//! **Invariant:** no files, no clock, no randomness: bytes, the time and keys are handed in.

mod canonical;
mod digest;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod keyring;
pub mod log;
mod manifest;
pub mod oci;
mod package;
mod revoked;
mod schema;
mod seal;
mod signature;
mod time;
mod trust;
mod vendor;
mod versions;

pub use digest::Digest;
pub use error::Error;
pub use keyring::{Endorsement, Entry, Keyring, PublicKey, SecretKey};
pub use manifest::{Blob, Export, Grants, Hook, Manifest, MapSchema};
pub use package::Package;
pub use revoked::Revoked;
pub use schema::schema;
pub use seal::{Sealed, seal, tagged_exports};
pub use signature::Signature;
pub use time::Time;
pub use trust::{Judgement, Signer, Tier, Trust, Unsigned, Verdict};
pub use vendor::Vendor;
pub use versions::Versions;
