//! Debian's kernels by package name, without installing them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::skip;
use crate::sh;

/// The newest cloud kernel of the series, fetched once by package name.
pub fn kernel(series: &str) -> Result<Option<PathBuf>> {
    let cache = sh::target_dir().join("vm-kernel").join(series);
    let cached = || -> Option<PathBuf> {
        let mut images: Vec<_> = std::fs::read_dir(&cache)
            .ok()?
            .filter_map(|e| e.ok().map(|e| e.path()))
            .filter(|p| {
                p.file_name()
                    .is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz-"))
            })
            .collect();
        images.sort();
        images.pop()
    };
    if let Some(found) = cached() {
        return Ok(Some(found));
    }
    if !sh::has("apt-get") || !sh::has("dpkg-deb") {
        skip("no apt-get to fetch a Debian kernel with")?;
        return Ok(None);
    }
    let find = || -> Result<Option<String>> {
        let names = sh::output(
            Command::new("apt-cache").args(["pkgnames", &format!("linux-image-{series}.")]),
        )?;
        let mut names: Vec<&str> = names
            .lines()
            .filter(|n| n.ends_with("-cloud-amd64") && !n.contains("-rt-"))
            .collect();
        names.sort_by_key(|n| {
            n.split(|c: char| !c.is_ascii_digit())
                .filter_map(|d| d.parse::<u32>().ok())
                .collect::<Vec<_>>()
        });
        Ok(names.last().map(|n| n.to_string()))
    };
    let mut package = find()?;
    if package.is_none() && sh::is_root() {
        let _ = sh::output(Command::new("apt-get").args(["-qq", "update"]));
        package = find()?;
    }
    let Some(package) = package else {
        skip(&format!(
            "the package lists have no linux-image-{series}*-cloud-amd64 (apt-get update?)"
        ))?;
        return Ok(None);
    };
    println!("vm: fetching {package}");
    let unpack = cache.join("unpack");
    let _ = std::fs::remove_dir_all(&unpack);
    std::fs::create_dir_all(&unpack)?;
    sh::output(
        Command::new("apt-get")
            .args(["-qq", "download", &package])
            .current_dir(&unpack),
    )?;
    let deb = std::fs::read_dir(&unpack)?
        .filter_map(|e| e.ok().map(|e| e.path()))
        .next()
        .context("nothing downloaded")?;
    sh::run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&unpack))?;
    for entry in std::fs::read_dir(unpack.join("boot"))? {
        let path = entry?.path();
        if let Some(name) = path
            .file_name()
            .filter(|n| n.to_string_lossy().starts_with("vmlinuz-"))
        {
            std::fs::rename(&path, cache.join(name))?;
        }
    }
    std::fs::remove_dir_all(&unpack)?;
    Ok(cached())
}
