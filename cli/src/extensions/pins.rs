//! Where extensions are in bpffs: `NAME/GENERATION` below the base, and what of it is whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use probity_loader::{Attach, pinned};
use probity_objfile::{AttachType, Initial, Object, ProgType};
use probity_store::installed::Record;
use probity_verifier::Verified;

use crate::tracing::machine::Machine;
use crate::tracing::many;

const ITERATOR: AttachType = AttachType(28);

/// A program that attaches somewhere.
pub struct Point {
    pub program: String,
    pub to: Attach,
}

/// The base directory.
pub struct Pins {
    pub base: PathBuf,
}

impl Pins {
    /// All generations of an extension.
    pub fn of(&self, name: &str) -> PathBuf {
        self.base.join(pinned::file_name(name))
    }

    pub fn generation(&self, record: &Record) -> PathBuf {
        self.of(&record.name).join(record.generation.to_string())
    }

    pub fn is_loaded(&self, record: &Record) -> bool {
        self.generation(record).join("programs").is_dir()
    }

    /// Mounts bpffs where there is none.
    pub fn ensure(&self) -> Result<()> {
        let parent = self.base.parent().unwrap_or(Path::new("/"));
        if !pinned::is_bpffs(parent) && parent == Path::new("/sys/fs/bpf") {
            pinned::mount(parent).context("cannot mount bpffs on /sys/fs/bpf")?;
        }
        std::fs::create_dir_all(&self.base)
            .with_context(|| format!("cannot create {}", self.base.display()))?;
        if !pinned::is_bpffs(&self.base) {
            anyhow::bail!(
                "{} is not in a bpf file system: mount -t bpf bpf /sys/fs/bpf",
                self.base.display()
            );
        }
        Ok(())
    }

    /// Loads and pins a generation: whole, or nothing of it is there.
    pub fn stage(
        &self,
        verified: &Verified,
        generation: &Path,
        kept: &BTreeMap<String, PathBuf>,
    ) -> Result<()> {
        let (Some(parent), Some(last)) = (generation.parent(), generation.file_name()) else {
            anyhow::bail!("{} is no place for pins", generation.display());
        };
        let new = parent.join(format!("new-{}", last.to_string_lossy()));
        clear(&new)?;
        std::fs::create_dir_all(&new)
            .with_context(|| format!("cannot create {}", new.display()))?;
        let done = pinned::load(verified, &new, kept)
            .map_err(anyhow::Error::from)
            .and_then(|()| {
                std::fs::rename(&new, generation)
                    .with_context(|| format!("cannot create {}", generation.display()))
            });
        done.inspect_err(|_| drop(clear(&new)))
    }
}

/// Where a program's links are.
pub fn links(generation: &Path, program: &str) -> PathBuf {
    generation.join("links").join(pinned::file_name(program))
}

pub fn program(generation: &Path, program: &str) -> PathBuf {
    generation.join("programs").join(pinned::file_name(program))
}

/// Attaches what is not attached yet.
pub fn attach(generation: &Path, points: &[Point]) -> Result<usize> {
    let mut made = 0;
    for p in points {
        let links = links(generation, &p.program);
        if links.is_dir() {
            continue;
        }
        let program = program(generation, &p.program);
        pinned::attach(&program, &p.program, &p.to, &links)?;
        made += 1;
    }
    Ok(made)
}

/// Removes a directory of bpffs with all that is in it. Links go first: nothing runs whose maps are gone.
pub fn clear(dir: &Path) -> Result<()> {
    let mut open = vec![dir.to_path_buf()];
    while let Some(at) = open.pop() {
        let links = at.join("links");
        if links.is_dir() {
            remove(&links)?;
        }
        let below = std::fs::read_dir(&at).into_iter().flatten().flatten();
        open.extend(below.map(|e| e.path()).filter(|p| p.is_dir()));
    }
    remove(dir)
}

fn remove(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Where an object's programs attach; those that only tail calls reach, or that are optional, nowhere.
pub fn points(
    object: &Object,
    interface: Option<&str>,
    cgroup: Option<&str>,
) -> Result<Vec<Point>> {
    let initial = object.maps.iter().flat_map(|m| &m.initial);
    let called: Vec<&str> = initial
        .filter_map(|(_, i)| match i {
            Initial::Program(name) => Some(name.as_str()),
            Initial::Map(_) => None,
        })
        .collect();
    let mut points = Vec::new();
    for p in &object.programs {
        if called.contains(&p.name.as_str()) || p.hook.optional {
            continue;
        }
        let place = match p.hook.prog_type {
            Some(ProgType::CGROUP_SKB) => cgroup,
            _ => interface,
        };
        let place = match p.hook.attach_type {
            // It has a name among the links.
            Some(ITERATOR) => Some(""),
            _ => place,
        };
        let mut to = match many::places(&p.hook)? {
            Some(many) => many,
            None => pinned::place(&p.name, &p.hook, place)?,
        };
        if let Attach::Uprobe { path, .. } = &mut to {
            *path = probity_script::Functions::resolve(&Machine::default(), path)
                .with_context(|| format!("no program or library `{path}` on this machine"))?;
        }
        points.push(Point {
            program: p.name.clone(),
            to,
        });
    }
    Ok(points)
}
