//! `Object` × `Platform` × `Policy` → [`Verified`] or [`Rejection`]s.
//!
//! **Invariant:** the verifier never names a helper, a map kind or a program kind; it interprets rows.
//!
//! **Invariant:** it fails towards rejection: what it does not model it refuses, by name.
//!
//! **Invariant:** no engines, kernels or files here.

mod report;

pub use report::*;
