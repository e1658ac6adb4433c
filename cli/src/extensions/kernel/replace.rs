//! A loaded extension × its next version → the next generation, with the maps of the old one: the same, or their elements in larger ones.
//!
//! **Invariant:** a map that both versions name is the same one for both, or its elements are in the new one, or the replacement is
//! refused; while elements are copied, programs of neither version are attached.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use probity_bundle::{Judgement, Package};
use probity_host::{Change, status};
use probity_loader::pinned;
use probity_objfile::{Map, Object};
use probity_store::installed::Record;

use super::{Kernel, Place, record};
use crate::extensions::Refused;
use crate::extensions::pins::{self, Point};

impl Kernel {
    /// Puts a package in the place of the one of its name. Maps that are defined alike stay the same maps;
    /// of those that have grown, the elements are copied while nothing is attached.
    pub fn replace(&mut self, package: &Package, fresh: &[String]) -> Result<Replaced> {
        let name = package.manifest().name.clone();
        let old = self.record(&name)?.clone();
        if !self.pins.is_loaded(&old) {
            bail!("extension `{name}` is installed and not in the kernel: `probity boot` loads it");
        }
        let judgement = self.judge("replace", package)?;
        let done = self.replace_judged(&old, package, &judgement, fresh);
        let (record, replaced) = self.refused("replace", package, done)?;
        self.records.insert(name, record);
        Ok(replaced)
    }

    fn replace_judged(
        &self,
        old: &Record,
        package: &Package,
        judgement: &Judgement,
        fresh: &[String],
    ) -> Result<(Record, Replaced)> {
        for user in self.dependents(&old.name) {
            let range = &self.records[&user].dependencies[&old.name];
            let version = &package.manifest().version;
            if !range.matches(version) {
                let why = format!("`{user}` depends on `{}` {range}, not {version}", old.name);
                return Err(Refused::error(why, status::DEPENDENCIES));
            }
        }
        let verified = self.admit(package, judgement)?;
        let place = Place {
            interface: old.interface.clone(),
            cgroup: old.cgroup.clone(),
        };
        let object = &verified.relocated().object;
        let points = pins::points(object, place.interface.as_deref(), place.cgroup.as_deref())?;
        let before = self.pins.generation(old);
        let Plan {
            kept,
            migrate,
            dropped,
        } = self.plan(old, package, fresh)?;
        let mut record = record(
            package,
            judgement,
            &verified,
            &points,
            &place,
            old.generation + 1,
        );
        record.enabled = old.enabled;
        let at = self.pins.generation(&record);
        // While maps are migrated nothing is attached, so that nothing is written that is not copied.
        let early: Vec<&Point> = points
            .iter()
            .filter(|p| record.enabled && migrate.is_empty() && !pinned::is_updatable(&p.to))
            .collect();
        let made = self.pins.stage(&verified, &at, &kept).and_then(|()| {
            for p in early {
                let links = pins::links(&at, &p.program);
                let program = pins::program(&at, &p.program);
                pinned::attach(&program, &p.program, &p.to, &links)?;
            }
            if !migrate.is_empty() {
                let links = before.join("links");
                pins::clear(&links)?;
                std::fs::create_dir_all(&links)?;
                for m in &migrate {
                    m.run(&before, &at)
                        .with_context(|| format!("map `{}` cannot be migrated", m.old.name))?;
                }
            }
            if record.tainted {
                self.installed.add_taint(&self.lock, &record.name)?;
            }
            self.store.accept(&self.lock, package)?;
            Ok(self.installed.put(&self.lock, &record, Some(package))?)
        });
        if let Err(e) = made {
            pins::clear(&at)?;
            if !migrate.is_empty() && old.enabled {
                pins::attach(&before, &self.points(old)?)?;
            }
            return Err(e);
        }
        // From here on the new one counts; a kill leaves the rest to the next command.
        if record.enabled {
            move_links(&before, &at, &points)?;
            pins::attach(&at, &points)?;
        }
        pins::clear(&before)?;
        let replaced = Replaced {
            generation: record.generation,
            kept: kept.into_keys().collect(),
            migrated: migrate.into_iter().map(|m| m.old.name).collect(),
            dropped,
        };
        Ok((record, replaced))
    }

    /// What becomes of the maps of the version that is there.
    fn plan(&self, old: &Record, package: &Package, fresh: &[String]) -> Result<Plan> {
        let before = self.installed.package(old)?;
        let (before_object, object) = (before.object()?, package.object()?);
        let (before, after) = (&before.manifest().maps, &package.manifest().maps);
        let maps = self.pins.generation(old).join("maps");
        let mut plan = Plan::default();
        for a in before {
            // Constants and initial values are the new version's own.
            let own = [".rodata", ".kconfig", ".data"];
            if own.iter().any(|p| a.name.starts_with(p)) || fresh.contains(&a.name) {
                continue;
            }
            let Some(b) = after.iter().find(|b| b.name == a.name) else {
                plan.dropped.push(a.name.clone());
                continue;
            };
            let path = maps.join(pinned::file_name(&a.name));
            // One that no program uses is not in the kernel.
            if !path.exists() {
                continue;
            }
            if a == b {
                plan.kept.insert(a.name.clone(), path);
                continue;
            }
            let of = |o: &Object| o.maps.iter().find(|m| m.name == a.name).cloned();
            match probity_host::change(&before_object, &object, &a.name) {
                Ok(Change::Kept) => drop(plan.kept.insert(a.name.clone(), path)),
                Ok(change) => {
                    if let (Some(old), Some(new)) = (of(&before_object), of(&object)) {
                        plan.migrate.push(Migration { old, new, change });
                    }
                }
                Err(why) => bail!(
                    "map `{}` is another in the new version, and what it holds would be lost: {why}; give --fresh {0} if it may be",
                    a.name
                ),
            }
        }
        Ok(plan)
    }
}

/// What becomes of the old version's maps.
#[derive(Default)]
struct Plan {
    kept: BTreeMap<String, PathBuf>,
    migrate: Vec<Migration>,
    /// Maps that the new version has no more.
    dropped: Vec<String>,
}

/// A map of which the elements go into a new one.
struct Migration {
    old: Map,
    new: Map,
    change: Change,
}

impl Migration {
    /// Between the maps of two generations that are loaded; programs of neither are attached.
    fn run(&self, before: &Path, after: &Path) -> Result<()> {
        let file = pinned::file_name(&self.old.name);
        let to = after.join("maps").join(&file);
        // No program of the new version uses it.
        if !to.exists() {
            return Ok(());
        }
        let from = pinned::map(&before.join("maps").join(&file), &self.old)?;
        let to = pinned::map(&to, &self.new)?;
        for (key, mut values) in from.entries()? {
            match &self.change {
                Change::Variables(moved) => {
                    let (Some(old), Some(new)) = (values.first(), to.lookup(&key)?) else {
                        continue;
                    };
                    let mut new = new.into_iter().next().unwrap_or_default();
                    for (a, b, size) in moved {
                        let source = old.get(*a..a.saturating_add(*size));
                        let place = new.get_mut(*b..b.saturating_add(*size));
                        if let (Some(source), Some(place)) = (source, place) {
                            place.copy_from_slice(source);
                        }
                    }
                    to.update(&key, &new)?;
                }
                Change::Kept | Change::Elements => {
                    let size = self.new.value_size as usize;
                    values.iter_mut().for_each(|v| v.resize(size, 0));
                    match &values[..] {
                        [one] => to.update(&key, one)?,
                        each => to.update_each(&key, each)?,
                    }
                }
            }
        }
        Ok(())
    }
}

/// What became of a replacement's maps.
pub struct Replaced {
    pub generation: u64,
    pub kept: Vec<String>,
    pub migrated: Vec<String>,
    pub dropped: Vec<String>,
}

/// Links that can be given another program go from one generation to the next; nothing is missed between.
pub(super) fn move_links(old: &Path, new: &Path, points: &[Point]) -> Result<()> {
    for p in points.iter().filter(|p| pinned::is_updatable(&p.to)) {
        let (from, to) = (pins::links(old, &p.program), pins::links(new, &p.program));
        if from.is_dir() && !to.is_dir() {
            pinned::update(&from, &pins::program(new, &p.program))?;
            std::fs::rename(&from, &to)
                .with_context(|| format!("cannot rename {}", from.display()))?;
        }
    }
    Ok(())
}
