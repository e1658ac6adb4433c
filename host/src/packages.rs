//! Packages that a host is handed: judged, held to what is granted, loaded, and each decision written down.
//!
//! A host has a [`Store`] that says who is trusted, or takes packages of nobody; what nobody signed it takes only where the policy
//! says so, and then it is tainted, and says so wherever it says anything of itself.
//!
//! **Invariant:** nothing is loaded whose decision could not be written to the log, where there is one.

use std::sync::Arc;

use probity_bundle::{Digest, Judgement, Package, Trust, Unsigned, Verdict, Versions};
use probity_store::{Lock, Store};
use serde_json::json;

use crate::error::Error;
use crate::host::{Host, Load, Replaced, open};
use crate::origin::Origin;

fn store(e: probity_store::Error) -> Error {
    Error::Store(e.chain())
}

impl Host {
    /// Loads a package, as its own bytes or an image layout in one file; gives the extension's name.
    pub fn load_package(&self, bytes: &[u8], how: &Load) -> Result<String, Error> {
        self.load_as("load", bytes, how)
    }

    /// The same; the log calls it so.
    pub(crate) fn load_as(&self, event: &str, bytes: &[u8], how: &Load) -> Result<String, Error> {
        self.judged(event, bytes, how, |package, how| {
            let name = &package.manifest().name;
            self.load(name, package.object_bytes(), how)?;
            Ok(name.clone())
        })
    }

    /// Puts a package in the place of the loaded extension of its name.
    pub fn replace_package(&self, bytes: &[u8], how: &Load) -> Result<Replaced, Error> {
        self.judged("replace", bytes, how, |package, how| {
            self.replace(&package.manifest().name, package.object_bytes(), how)
        })
    }

    fn judged<T>(
        &self,
        event: &str,
        bytes: &[u8],
        how: &Load,
        act: impl FnOnce(&Package, &Load) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let package = probity_store::package::open(bytes).map_err(|e| {
            // What cannot be read has no name to be judged by, but a digest.
            let why = e.to_string();
            match self.note_refusal(event, bytes, &why) {
                Ok(()) => Error::Package(why),
                Err(e) => e,
            }
        })?;
        let locked = self.locked()?;
        let judgement = match &locked {
            Some((s, lock)) => {
                let judgement = s.judge(&package).map_err(store)?;
                s.record(lock, event, &package, &judgement).map_err(store)?;
                judgement
            }
            None => {
                let trust = Trust {
                    unsigned: self.shared.rights.unsigned,
                    ..Trust::default()
                };
                trust.judge(&package, &Versions::default(), probity_store::now())
            }
        };
        if !judgement.accepted {
            return Err(Error::Untrusted(Box::new(judgement)));
        }
        let origin = Origin::new(&package, judgement);
        let how = Load {
            manifest: Some(origin.asks()),
            signer: origin.signer().map(str::to_string),
            tainted: origin.tainted(),
            origin: Some(Arc::new(origin)),
            ..how.clone()
        };
        let done = act(&package, &how);
        let Some((s, lock)) = &locked else {
            return done;
        };
        match &done {
            Ok(_) => s.accept(lock, &package).map_err(store)?,
            Err(e) => {
                let m = package.manifest();
                let details = json!({
                    "name": m.name,
                    "version": m.version,
                    "digest": package.digest(),
                    "for": event,
                    "why": e.to_string(),
                });
                s.note(lock, "refuse", details).map_err(store)?;
            }
        }
        done
    }

    /// Whether an object that is in no package may be loaded for whoever controls the host; `how` says then that it taints.
    pub(crate) fn bare(
        &self,
        event: &str,
        name: &str,
        bytes: &[u8],
        how: &Load,
    ) -> Result<Load, Error> {
        let locked = self.locked()?;
        let unsigned = match &locked {
            Some((s, _)) => s.trust().map_err(store)?.unsigned,
            None => self.shared.rights.unsigned,
        };
        let accepted = unsigned == Unsigned::Taint;
        let why = match accepted {
            true => {
                "an object without a package is not signed; the policy takes it, and the host is tainted"
            }
            false => {
                "an object without a package is not signed, and the policy takes no such objects"
            }
        };
        if let Some((s, lock)) = &locked {
            let details = json!({
                "name": name,
                "digest": Digest::of(bytes),
                "verdict": Verdict::Unsigned,
                "accepted": accepted,
                "tainted": accepted,
                "why": why,
            });
            s.note(lock, event, details).map_err(store)?;
        }
        match accepted {
            true => Ok(Load {
                tainted: true,
                ..how.clone()
            }),
            false => Err(Error::Untrusted(Box::new(Judgement {
                verdict: Verdict::Unsigned,
                accepted,
                tainted: false,
                signer: None,
                why: why.into(),
            }))),
        }
    }

    pub(crate) fn load_bare(&self, name: &str, bytes: &[u8], how: &Load) -> Result<(), Error> {
        let object = open(name, bytes)?;
        let how = self.bare("load", name, bytes, how)?;
        self.load_object(name, &object, &how)
    }

    pub(crate) fn replace_bare(
        &self,
        name: &str,
        bytes: &[u8],
        how: &Load,
    ) -> Result<Replaced, Error> {
        let object = open(name, bytes)?;
        let how = self.bare("replace", name, bytes, how)?;
        self.replace_object(name, &object, &how)
    }

    /// Writes down what was done besides loading.
    pub(crate) fn note(&self, event: &str, name: &str) -> Result<(), Error> {
        match self.locked()? {
            Some((s, lock)) => s.note(&lock, event, json!({ "name": name })).map_err(store),
            None => Ok(()),
        }
    }

    fn note_refusal(&self, event: &str, bytes: &[u8], why: &str) -> Result<(), Error> {
        match self.locked()? {
            Some((s, lock)) => {
                let digest = Digest::of(bytes);
                let details = json!({ "digest": digest, "for": event, "why": why });
                s.note(&lock, "refuse", details).map_err(store)
            }
            None => Ok(()),
        }
    }

    fn locked(&self) -> Result<Option<(&Store, Lock)>, Error> {
        match &self.shared.rights.store {
            Some(s) => Ok(Some((s, s.lock().map_err(store)?))),
            None => Ok(None),
        }
    }
}
