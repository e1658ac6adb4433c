//! Extensions in the running kernel: packages → programs, links and maps pinned under bpffs, and the records of them on disk.
//!
//! The record of an extension is what counts (`probity_store::installed`). It is written when all that it says is in the kernel,
//! or can be completed without anything that may fail for a reason of the package's; it is removed before anything of
//! the extension is taken away. So what a kill leaves is either more than the records say, which [`Kernel::repair`] takes away, or a replacement of
//! which the links are not all moved, which it completes.
//!
//! **Invariant:** nothing is loaded that was not verified by this process just now, whoever signed it.
//!
//! **Invariant:** all changes, and all repairs, are made by whoever holds the lock of the directory of state.

mod admit;
mod repair;
mod replace;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use probity_bundle::{Judgement, Package};
use probity_host::{GrantPolicy, status};
use probity_store::installed::{Installed, Proved, Record, digest};
use probity_store::{Lock, Store};
use probity_verifier::Verified;
use serde_json::json;

use super::Refused;
use super::pins::{self, Pins, Point};
use crate::output;

/// The running kernel and what is written down of it, locked.
pub struct Kernel {
    pub store: Store,
    pub installed: Installed,
    pub pins: Pins,
    grants: Option<GrantPolicy>,
    pub lock: Lock,
    pub records: BTreeMap<String, Record>,
    /// Records that cannot be read.
    pub bad: Vec<String>,
}

/// Where programs attach whose sections do not say.
#[derive(Clone, Debug, Default)]
pub struct Place {
    pub interface: Option<String>,
    pub cgroup: Option<String>,
}

impl Kernel {
    /// Takes the lock, reads the records, and brings the kernel in line with them.
    pub fn open(store: Store, base: PathBuf) -> Result<Kernel> {
        let path = store.trust.join("grants.toml");
        let text = probity_store::read_guarded(&path)?;
        let grants = match path.exists() {
            true => Some(
                GrantPolicy::from_toml(&text)
                    .map_err(anyhow::Error::msg)
                    .with_context(|| format!("in {}", path.display()))?,
            ),
            false => None,
        };
        let lock = store.lock()?;
        let installed = Installed::new(&store.state);
        let (records, bad) = installed.all()?;
        let kernel = Kernel {
            store,
            installed,
            pins: Pins { base },
            grants,
            lock,
            records,
            bad,
        };
        for what in &kernel.bad {
            output::warning(what);
        }
        kernel.pins.ensure()?;
        for what in kernel.repair()? {
            output::note(format_args!("repaired: {what}"));
            let details = json!({ "what": what });
            kernel.store.note(&kernel.lock, "repair", details)?;
        }
        Ok(kernel)
    }

    pub fn record(&self, name: &str) -> Result<&Record> {
        let record = self.records.get(name);
        record.with_context(|| format!("no extension `{name}` is loaded"))
    }

    /// Extensions that depend on this one.
    pub fn dependents(&self, name: &str) -> Vec<String> {
        let uses = |r: &&Record| r.dependencies.contains_key(name);
        let all = self.records.values().filter(uses);
        all.map(|r| r.name.clone()).collect()
    }

    /// Loads a package, and attaches its programs.
    pub fn load(&mut self, package: &Package, place: &Place) -> Result<()> {
        let name = &package.manifest().name;
        if self.records.contains_key(name) {
            bail!("extension `{name}` is loaded already; replace it");
        }
        let judgement = self.judge("load", package)?;
        let done = self.load_judged(package, &judgement, place, 1);
        let record = self.refused("load", package, done)?;
        self.records.insert(name.clone(), record);
        Ok(())
    }

    fn load_judged(
        &self,
        package: &Package,
        judgement: &Judgement,
        place: &Place,
        generation: u64,
    ) -> Result<Record> {
        let verified = self.admit(package, judgement)?;
        let object = &verified.relocated().object;
        let points = pins::points(object, place.interface.as_deref(), place.cgroup.as_deref())?;
        let record = record(package, judgement, &verified, &points, place, generation);
        let at = self.pins.generation(&record);
        std::fs::create_dir_all(self.pins.of(&record.name))?;
        let made = self
            .pins
            .stage(&verified, &at, &BTreeMap::new())
            .and_then(|()| pins::attach(&at, &points))
            .and_then(|_| {
                if record.tainted {
                    self.installed.add_taint(&self.lock, &record.name)?;
                }
                self.store.accept(&self.lock, package)?;
                Ok(self.installed.put(&self.lock, &record, Some(package))?)
            });
        if let Err(e) = made {
            pins::clear(&self.pins.of(&record.name))?;
            return Err(e);
        }
        Ok(record)
    }

    /// Takes an extension out of the kernel, and forgets it.
    pub fn unload(&mut self, name: &str) -> Result<()> {
        self.record(name)?;
        let by = self.dependents(name);
        if !by.is_empty() {
            let why = format!("extension `{name}` is in use by {}", by.join(", "));
            return Err(Refused::error(why, status::DEPENDENCIES));
        }
        self.store
            .note(&self.lock, "unload", json!({ "name": name }))?;
        self.installed.remove(&self.lock, name)?;
        pins::clear(&self.pins.of(name))?;
        self.records.remove(name);
        self.installed.tidy(&self.lock, &self.records);
        Ok(())
    }

    /// Attaches an extension again, or no longer; its programs and maps stay.
    pub fn enable(&mut self, name: &str, enabled: bool) -> Result<()> {
        let mut record = self.record(name)?.clone();
        record.enabled = enabled;
        let event = if enabled { "enable" } else { "disable" };
        self.store
            .note(&self.lock, event, json!({ "name": name }))?;
        let at = self.pins.generation(&record);
        if enabled && self.pins.is_loaded(&record) {
            pins::attach(&at, &self.points(&record)?)?;
        }
        self.installed.put(&self.lock, &record, None)?;
        if !enabled && self.pins.is_loaded(&record) {
            let links = at.join("links");
            pins::clear(&links)?;
            std::fs::create_dir_all(&links)?;
        }
        self.records.insert(name.into(), record);
        Ok(())
    }

    /// Loads what is installed and not in the kernel, as it is at start.
    pub fn start(&mut self, name: &str) -> Result<bool> {
        let record = self.record(name)?.clone();
        if self.pins.is_loaded(&record) {
            return Ok(false);
        }
        let package = self.installed.package(&record)?;
        let judgement = self.judge("boot", &package)?;
        let place = Place {
            interface: record.interface.clone(),
            cgroup: record.cgroup.clone(),
        };
        let done = self.start_judged(&record, &package, &judgement, &place);
        self.refused("boot", &package, done)?;
        Ok(true)
    }

    fn start_judged(
        &self,
        record: &Record,
        package: &Package,
        judgement: &Judgement,
        place: &Place,
    ) -> Result<()> {
        let verified = self.admit(package, judgement)?;
        let object = &verified.relocated().object;
        let points = pins::points(object, place.interface.as_deref(), place.cgroup.as_deref())?;
        let at = self.pins.generation(record);
        std::fs::create_dir_all(self.pins.of(&record.name))?;
        if record.tainted || judgement.tainted {
            self.installed.add_taint(&self.lock, &record.name)?;
        }
        let made = self
            .pins
            .stage(&verified, &at, &BTreeMap::new())
            .and_then(|()| pins::attach(&at, &points));
        if made.is_err() {
            pins::clear(&self.pins.of(&record.name))?;
        }
        made.map(|_| ())
    }
}

fn record(
    package: &Package,
    judgement: &Judgement,
    verified: &Verified,
    points: &[Point],
    place: &Place,
    generation: u64,
) -> Record {
    let m = package.manifest();
    let object = &verified.relocated().object;
    let program = |p: &std::sync::Arc<probity_verifier::VerifiedProgram>| Proved {
        name: p.name().to_owned(),
        section: object
            .programs
            .get(p.index())
            .map_or_else(String::new, |o| o.hook.section.clone()),
        attach: points
            .iter()
            .find(|at| at.program == p.name())
            .map(|at| at.to.to_string()),
        insns: p.insns().len() as u64,
        worst_case_insns: p.worst_case_insns(),
        stack: p.stats().stack_depth as u64,
    };
    Record {
        name: m.name.clone(),
        version: m.version.clone(),
        package: digest(&package.digest()),
        generation,
        enabled: true,
        tainted: judgement.tainted,
        signer: judgement.signer.as_ref().map(|s| s.name.clone()),
        interface: place.interface.clone(),
        cgroup: place.cgroup.clone(),
        programs: verified.programs().iter().map(program).collect(),
        dependencies: m.dependencies.clone(),
        since: probity_store::now().0,
    }
}
