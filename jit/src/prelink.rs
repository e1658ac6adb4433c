//! Several instances' code ⇄ one image, that a start takes it from instead of compiling.
//!
//! What [`crate::cache`] says of its files holds for an image: it replaces compilation, never verification. Each piece of code is
//! found by the digest of all that it depends on ([`crate::key`]), which only an instance has, which only a proof made in this
//! process gives. The whole image, with what its maker puts beside the code, carries a message authentication code by
//! the key of a [`Cache`]'s directory: one that comes from elsewhere, or of which a byte is another, is refused as a whole.
//!
//! An image also says in words what it was made for, so that whoever starts with it can be told why code is compiled anew.
//!
//! **Invariant:** code is taken from an image only that this user's own key authenticates, and only under the digest of this start's proof.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use probity_runtime::Instance;

use crate::cache::Cache;
use crate::compile;
use crate::encode;
use crate::error::Error;
use crate::key::{self, Digests, Key};
use crate::options::Options;
use crate::target::Target;
use crate::{Jit, hex};

const MAGIC: &[u8; 8] = b"PROBIMG1";
const HEADER: usize = 8 + 32;

/// Code of several instances, by the digest of what it depends on.
#[derive(Default)]
pub struct Prelinked {
    pieces: Mutex<BTreeMap<Key, Vec<u8>>>,
    made_for: MadeFor,
    /// Compiled code is put beside what is there.
    collects: bool,
}

/// What the code of an image was made for, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MadeFor {
    pub version: String,
    pub processor: String,
}

impl MadeFor {
    /// This build on this machine.
    pub fn here() -> Result<MadeFor, Error> {
        let target = Target::host(&Options::default())?;
        Ok(MadeFor {
            version: format!(
                "{} (build {})",
                env!("CARGO_PKG_VERSION"),
                &env!("PROBITY_JIT_BUILD")[..12]
            ),
            processor: target.processor(),
        })
    }
}

impl Prelinked {
    /// An empty one, which keeps what is compiled through it.
    pub fn collect() -> Result<Prelinked, Error> {
        Ok(Prelinked {
            made_for: MadeFor::here()?,
            collects: true,
            ..Prelinked::default()
        })
    }

    /// An image's code, and what its maker put beside it. One that `cache` has not sealed, byte for byte, is an error.
    pub fn open<'a>(bytes: &'a [u8], cache: &Cache) -> Result<(Prelinked, &'a [u8]), Error> {
        let refused = |why: &str| Error::Image(why.into());
        let (magic, rest) = bytes
            .split_at_checked(MAGIC.len())
            .ok_or_else(|| refused("it is too short"))?;
        if magic != MAGIC {
            return Err(refused("it is no image of this format"));
        }
        let (code, content) = rest
            .split_at_checked(HEADER - MAGIC.len())
            .ok_or_else(|| refused("it is too short"))?;
        let code: [u8; 32] = code.try_into().unwrap_or_default();
        // Nothing of it is looked at before.
        if cache.seal(MAGIC, content) != blake3::Hash::from(code) {
            return Err(refused(
                "it is not as it was made, or was made with another key than this directory's",
            ));
        }
        let read = decode(content);
        read.ok_or_else(|| refused("its parts do not fit together"))
    }

    /// The image, with what its maker puts beside the code.
    pub fn to_bytes(&self, cache: &Cache, beside: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        let mut part = |bytes: &[u8]| {
            content.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            content.extend_from_slice(bytes);
        };
        part(self.made_for.version.as_bytes());
        part(self.made_for.processor.as_bytes());
        part(beside);
        for (key, code) in &*self.lock() {
            part(key);
            part(code);
        }
        let code = cache.seal(MAGIC, &content);
        [&MAGIC[..], code.as_bytes(), &content].concat()
    }

    pub fn made_for(&self) -> &MadeFor {
        &self.made_for
    }

    /// Instances of which it holds the code.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Vec<u8>>> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is authenticated → its parts.
fn decode(content: &[u8]) -> Option<(Prelinked, &[u8])> {
    let mut rest = content;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let made_for = MadeFor {
        version: text(part(&mut rest)?),
        processor: text(part(&mut rest)?),
    };
    let beside = part(&mut rest)?;
    let mut pieces = BTreeMap::new();
    while !rest.is_empty() {
        let key = Key::try_from(part(&mut rest)?).ok()?;
        pieces.insert(key, part(&mut rest)?.to_vec());
    }
    let read = Prelinked {
        pieces: Mutex::new(pieces),
        made_for,
        collects: false,
    };
    Some((read, beside))
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, after) = rest.split_first_chunk::<8>()?;
    let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
    let (bytes, after) = after.split_at_checked(len)?;
    *rest = after;
    Some(bytes)
}

impl Jit {
    /// Takes the code from an image, when it is there; otherwise compiles. [`Jit::from_cache`] says which.
    pub fn with_prelinked(
        instance: Arc<Instance>,
        options: &Options,
        image: &Prelinked,
    ) -> Result<Jit, Error> {
        let target = Target::host(options)?;
        let key = key::key(&instance, &target, options, &Digests::default());
        let found = image.lock().get(&key).and_then(|b| encode::decode(b));
        if let Some(jit) = Jit::of_kept(&instance, found, &target, options) {
            return Ok(jit);
        }
        let code = compile::compile(&instance, &target)?;
        if image.collects {
            image.lock().insert(key, encode::encode(&code));
        }
        Jit::link(instance, code, options, false)
    }
}

impl Target {
    /// The processor in words, with the features that code may use.
    fn processor(&self) -> String {
        let features = self.isa.isa_flags();
        let mut names: Vec<&str> = features
            .iter()
            .filter(|f| f.as_bool() == Some(true))
            .map(|f| f.name)
            .collect();
        names.sort_unstable();
        let digest = blake3::hash(names.join(" ").as_bytes());
        let architecture = self.isa.triple().architecture;
        format!(
            "{architecture} with {} features ({})",
            names.len(),
            hex(&digest.as_bytes()[..4])
        )
    }
}

#[cfg(test)]
mod tests;
