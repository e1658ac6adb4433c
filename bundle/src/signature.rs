//! A package's digest and a key → an ed25519 signature (RFC 8032), and back to whether it holds.
//!
//! Signed are the line `probity signature 1`, the 32 bytes of the signer's key, the time at which the signature
//! expires (a number, 0 for never), and the 32 bytes of the package's digest: all of fixed length.
//!
//! **Invariant:** signatures are checked strictly: neither a key of small order nor a second spelling of a
//! signature is accepted.

use crate::canonical::{Reader, Writer};
use crate::{Digest, Error, PublicKey, SecretKey, Time};

const DOMAIN: &[u8] = b"probity signature 1\n";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Who says to have signed it.
    pub key: PublicKey,
    /// From then on it does not count.
    pub expires: Option<Time>,
    bytes: [u8; 64],
}

impl Signature {
    pub(crate) const BYTES: usize = 32 + 8 + 64;

    pub(crate) fn new(key: &SecretKey, digest: Digest, expires: Option<Time>) -> Signature {
        let public = key.public();
        Signature {
            key: public,
            expires,
            bytes: key.sign(&message(&public, expires, digest)),
        }
    }

    /// Did the holder of the key sign a package of this digest?
    pub fn holds(&self, digest: Digest) -> bool {
        let message = message(&self.key, self.expires, digest);
        self.key.verifies(&message, &self.bytes)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.raw(&self.key.0);
        w.number(self.expires.map_or(0, |t| t.0));
        w.raw(&self.bytes);
        w.bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Signature, Error> {
        let mut r = Reader::new(bytes, "the signature");
        let signature = Signature {
            key: PublicKey(r.array()?),
            expires: match r.number()? {
                0 => None,
                n => Some(Time(n)),
            },
            bytes: r.array()?,
        };
        r.end()?;
        Ok(signature)
    }
}

fn message(key: &PublicKey, expires: Option<Time>, digest: Digest) -> Vec<u8> {
    let mut w = Writer::default();
    w.raw(DOMAIN);
    w.raw(&key.0);
    w.number(expires.map_or(0, |t| t.0));
    w.raw(&digest.0);
    w.bytes
}
