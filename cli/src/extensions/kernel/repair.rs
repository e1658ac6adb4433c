//! What interrupted commands left in the kernel → what the records say.

use anyhow::Result;
use probity_loader::pinned;
use probity_store::installed::Record;

use super::Kernel;
use super::replace::move_links;
use crate::extensions::pins::{self, Point};
use crate::output;

impl Kernel {
    /// Takes away what interrupted commands left, and completes what they had begun.
    pub(super) fn repair(&self) -> Result<Vec<String>> {
        let mut done = Vec::new();
        if self.bad.is_empty() {
            for dir in pinned::names(&self.pins.base) {
                let known = |r: &Record| pinned::file_name(&r.name) == dir;
                if !self.records.values().any(known) {
                    pins::clear(&self.pins.base.join(&dir))?;
                    done.push(format!(
                        "`{dir}` was in the kernel and is not installed: taken away"
                    ));
                }
            }
        }
        for record in self.records.values() {
            // One that cannot be repaired is no reason to leave the others.
            match self.repair_one(record) {
                Ok(what) => done.extend(what),
                Err(e) => output::warning(format_args!(
                    "extension `{}` is not as it should be: {e:#}",
                    record.name
                )),
            }
        }
        self.installed.tidy(&self.lock, &self.records);
        Ok(done)
    }

    fn repair_one(&self, record: &Record) -> Result<Vec<String>> {
        let mut done = Vec::new();
        let name = &record.name;
        let current = self.pins.generation(record);
        let number = record.generation.to_string();
        let others: Vec<String> = pinned::names(&self.pins.of(name))
            .into_iter()
            .filter(|n| *n != number)
            .collect();
        if !self.pins.is_loaded(record) {
            for other in others {
                pins::clear(&self.pins.of(name).join(&other))?;
                done.push(format!(
                    "`{name}`: half of generation {other} was there: taken away"
                ));
            }
            return Ok(done);
        }
        let links = current.join("links");
        for half in pinned::names(&links)
            .iter()
            .filter(|n| n.starts_with("new-"))
        {
            pins::clear(&links.join(half))?;
        }
        // Only then is the package looked at.
        let attached = pinned::names(&links);
        let (expected, attached) = match record.enabled {
            true => (
                record
                    .programs
                    .iter()
                    .filter(|p| p.attach.is_some())
                    .count(),
                attached.len(),
            ),
            false => (0, attached.len()),
        };
        if expected == attached && others.is_empty() {
            return Ok(done);
        }
        let points = self.points(record)?;
        for other in others {
            let old = self.pins.of(name).join(&other);
            if !other.starts_with("new-") && record.enabled {
                move_links(&old, &current, &points)?;
            }
            pins::clear(&old)?;
            done.push(format!(
                "`{name}`: generation {other} was still there: taken away"
            ));
        }
        match record.enabled {
            true => {
                let made = pins::attach(&current, &points)?;
                if made > 0 {
                    done.push(format!("`{name}`: {made} programs were not attached"));
                }
            }
            false if attached > 0 => {
                pins::clear(&links)?;
                std::fs::create_dir_all(&links)?;
                done.push(format!("`{name}` is disabled and was attached"));
            }
            false => {}
        }
        Ok(done)
    }

    pub(super) fn points(&self, record: &Record) -> Result<Vec<Point>> {
        let package = self.installed.package(record)?;
        let object = package.object()?;
        pins::points(
            &object,
            record.interface.as_deref(),
            record.cgroup.as_deref(),
        )
    }
}
