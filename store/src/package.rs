//! A package ⇄ a file, or the directory of an image layout.

use std::ffi::OsStr;
use std::path::Path;

use probity_bundle::{Package, oci};

use crate::error::{Error, Result, io};
use crate::files;

/// A package from a layout's directory, a layout in one file, or its own bytes.
pub fn read(path: &Path) -> Result<Package> {
    let shown = path.display();
    let cannot = |source| Error::Package {
        path: shown.to_string(),
        source,
    };
    if path.is_dir() {
        let mut failed = None;
        let package = oci::open(&mut |inside| {
            let file = path.join(inside);
            if !file.exists() {
                return Ok(None);
            }
            files::read(&file).map(Some).map_err(|error| {
                let text = error.chain();
                failed = Some(error);
                probity_bundle::Error::Image(text)
            })
        });
        return match failed {
            Some(error) => Err(error),
            None => package.map_err(cannot),
        };
    }
    let bytes = files::read(path)?;
    if bytes.starts_with(b"\x7fELF") {
        return Err(Error::Refused(format!(
            "{shown} is an object, not a package: `probity pack` makes one of it"
        )));
    }
    open(&bytes).map_err(cannot)
}

/// A package from its own bytes, or from a layout in one file.
pub fn open(bytes: &[u8]) -> std::result::Result<Package, probity_bundle::Error> {
    match Package::is_package(bytes) {
        true => Package::open(bytes),
        false => oci::open_tar(bytes),
    }
}

/// Writes a package whole or not at all: its own bytes as `.pkg`, one file as `.tar`, otherwise a directory.
pub fn write(path: &Path, package: &Package) -> Result<()> {
    let cannot = crate::error::content(path);
    match path.extension().and_then(OsStr::to_str) {
        Some("pkg") => files::replace(path, &package.to_bytes(), 0o644),
        Some("tar") => {
            let tar = oci::layout_tar(package).map_err(cannot)?;
            files::replace(path, &tar, 0o644)
        }
        _ => write_directory(path, &oci::layout(package).map_err(cannot)?),
    }
}

/// What a blob holds is in its name, so new ones stand beside the old until the index says which are meant.
fn write_directory(path: &Path, contents: &oci::Files) -> Result<()> {
    const INDEX: &str = "index.json";
    if path.exists() && !path.join("oci-layout").exists() && !is_empty(path) {
        return Err(Error::Refused(format!(
            "{} is there already, and no image layout: take another name, or .tar or .pkg",
            path.display()
        )));
    }
    const LAYOUT: &str = "oci-layout";
    let create = |dir: &Path| std::fs::create_dir_all(dir).map_err(io("cannot create", dir));
    create(path)?;
    // Whoever finds what a kill left knows what it was to be.
    if let Some(bytes) = contents.get(LAYOUT) {
        files::replace(&path.join(LAYOUT), bytes, 0o644)?;
    }
    let blobs = path.join("blobs/sha256");
    create(&blobs)?;
    let last = contents.iter().filter(|(inside, _)| *inside == INDEX);
    for (inside, bytes) in contents.iter().filter(|(i, _)| *i != INDEX).chain(last) {
        files::replace(&path.join(inside), bytes, 0o644)?;
    }
    let gone = |entry: &std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        !contents.contains_key(&format!("blobs/sha256/{name}"))
    };
    let there = std::fs::read_dir(&blobs).map_err(io("cannot read", &blobs))?;
    for entry in there.flatten().filter(gone) {
        // One that stays is in nobody's way.
        let _ = std::fs::remove_file(entry.path());
    }
    Ok(())
}

/// A directory with nothing in it.
fn is_empty(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}
