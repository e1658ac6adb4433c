//! What can be wrong with a package, with what it is made of, or with the files of trust.

/// Every variant names the place. Whether a package is trusted is no error but a [`crate::Verdict`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("not a package of Probity's")]
    NotAPackage,
    #[error("malformed package, in {place}: {what}")]
    Malformed { place: &'static str, what: String },
    #[error("malformed package: its bytes are not the ones that encode what it says")]
    NotCanonical,
    #[error("malformed package: {what} has another digest than its manifest says")]
    Digest { what: String },
    #[error("{what}: {size} bytes are over the limit of {max}")]
    TooBig { what: String, size: u64, max: u64 },
    /// Of `extension.toml`.
    #[error("manifest: {0}")]
    Vendor(String),
    /// What the vendor says is not so of the object.
    #[error("the manifest and the object differ: {0}")]
    Contradiction(String),
    #[error("program `{0}` is not verified, and what is not verified is not sealed")]
    Unverified(String),
    #[error("the object has no bytes: it was never written as a file")]
    NoBytes,
    #[error("map `{map}`: {what}")]
    Schema { map: String, what: String },
    /// A line of a keyring, a list of revocations, a file of versions, a key file.
    #[error("{kind}, line {line}: {what}")]
    Line {
        kind: &'static str,
        line: usize,
        what: String,
    },
    #[error("image: {0}")]
    Image(String),
}

impl Error {
    pub(crate) fn malformed(place: &'static str, what: impl Into<String>) -> Error {
        Error::Malformed {
            place,
            what: what.into(),
        }
    }

    pub(crate) fn image(what: impl Into<String>) -> Error {
        Error::Image(what.into())
    }
}
