//! A package ⇄ its bytes.
//!
//! The first line, `probity package 1`; then, as `canonical` says, the bytes of the manifest, those of the
//! object, and the list of data, each its name and its bytes, ascending by name. These are the *body*, and its
//! SHA-256 is the package's digest. After it stands a byte, 0 or 1, and after 1 the signature.
//!
//! **Invariant:** [`Package::open`] takes exactly the bytes that [`Package::to_bytes`] gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use probity_objfile::Object;

use crate::canonical::{Reader, Writer};
use crate::{Digest, Error, Manifest, Signature};

const MAGIC: &[u8] = b"probity package 1\n";
/// What a package of a later form begins with too.
const MAGIC_ANY: &[u8] = b"probity package ";

/// A package as it was sealed, or read. Reading says nothing of who made it: ask [`crate::Trust::judge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    pub(crate) manifest: Manifest,
    pub(crate) object: Arc<[u8]>,
    pub(crate) data: BTreeMap<String, Vec<u8>>,
    pub(crate) signature: Option<Signature>,
}

impl Package {
    /// Bytes that a package has at most.
    pub const LARGEST: u64 = 128 << 20;

    pub(crate) fn new(
        manifest: Manifest,
        object: Arc<[u8]>,
        data: BTreeMap<String, Vec<u8>>,
    ) -> Package {
        Package {
            manifest,
            object,
            data,
            signature: None,
        }
    }

    /// Do these bytes begin like a package's?
    pub fn is_package(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC_ANY)
    }

    /// Reads a package, whole or not at all.
    pub fn open(bytes: &[u8]) -> Result<Package, Error> {
        if !Package::is_package(bytes) {
            return Err(Error::NotAPackage);
        }
        too_big(bytes.len() as u64)?;
        let mut r = Reader::new(bytes, "the package");
        if r.raw(MAGIC.len())? != MAGIC {
            return Err(r.error("it is of a form that this version does not know"));
        }
        let manifest = r.bytes()?;
        let object = r.bytes()?;
        let data = r.list(|r| Ok((r.text()?, r.bytes()?.to_vec())))?;
        let signature = match r.flag()? {
            true => Some(r.raw(Signature::BYTES)?),
            false => None,
        };
        r.end()?;
        let package = Package::from_parts(
            manifest,
            object.into(),
            data.into_iter().collect(),
            signature,
        )?;
        if package.to_bytes() != bytes {
            return Err(Error::NotCanonical);
        }
        Ok(package)
    }

    /// From what an image carries apart; the same checks.
    pub(crate) fn from_parts(
        manifest: &[u8],
        object: Arc<[u8]>,
        data: BTreeMap<String, Vec<u8>>,
        signature: Option<&[u8]>,
    ) -> Result<Package, Error> {
        let package = Package {
            manifest: Manifest::from_bytes(manifest)?,
            object,
            data,
            signature: signature.map(Signature::from_bytes).transpose()?,
        };
        package.check_size()?;
        let differs = |what: String| Err(Error::Digest { what });
        let m = &package.manifest;
        if Digest::of(&package.object) != m.object {
            return differs("the object".into());
        }
        if !m.data.keys().eq(package.data.keys()) {
            let what = "the data are others than the manifest names";
            return Err(Error::malformed("the package", what));
        }
        for (name, bytes) in &package.data {
            let blob = &m.data[name];
            if blob.size != bytes.len() as u64 || Digest::of(bytes) != blob.digest {
                return differs(format!("the data `{name}`"));
            }
        }
        Ok(package)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer { bytes: self.body() };
        match &self.signature {
            None => w.raw(&[0]),
            Some(signature) => {
                w.raw(&[1]);
                w.raw(&signature.to_bytes());
            }
        }
        w.bytes
    }

    /// Everything but the signature.
    fn body(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.raw(MAGIC);
        w.bytes(&self.manifest.to_bytes());
        w.bytes(&self.object);
        w.list(self.data.iter(), |w, (name, bytes)| {
            w.text(name);
            w.bytes(bytes);
        });
        w.bytes
    }

    /// Of everything but the signature: what is signed, revoked and logged.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.body())
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    pub fn data(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.data
    }

    /// The ELF bytes.
    pub fn object_bytes(&self) -> &Arc<[u8]> {
        &self.object
    }

    /// The object, to be verified: nothing in it is trusted, whoever signed it.
    pub fn object(&self) -> Result<Object, probity_objfile::Error> {
        probity_objfile::open(&self.manifest.name, &self.object)
    }

    pub(crate) fn check_size(&self) -> Result<(), Error> {
        let data = self.data.values().map(|d| d.len() as u64).sum::<u64>();
        too_big(data + self.object.len() as u64)
    }
}

fn too_big(size: u64) -> Result<(), Error> {
    match size > Package::LARGEST {
        true => Err(Error::TooBig {
            what: "the package".into(),
            size,
            max: Package::LARGEST,
        }),
        false => Ok(()),
    }
}
