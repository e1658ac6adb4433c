//! Debian's kernels by package name, without installing them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::skip;
use crate::sh;

/// Modules that scripts in `tests/vm` load, as `modules/NAME.ko`.
const MODULES: [&str; 1] = ["kernel/drivers/net/dummy.ko"];

/// Modules of the kernel that [`kernel`] fetched.
pub fn modules(series: &str) -> Vec<PathBuf> {
    let kept = sh::target_dir()
        .join("vm-kernel")
        .join(series)
        .join("modules");
    let entries = std::fs::read_dir(kept).into_iter().flatten().flatten();
    entries.map(|e| e.path()).collect()
}

/// Keeps what there is of [`MODULES`] in an unpacked package.
fn keep_modules(unpack: &Path, kept: &Path) -> Result<()> {
    std::fs::create_dir_all(kept)?;
    for lib in ["lib/modules", "usr/lib/modules"] {
        let releases = std::fs::read_dir(unpack.join(lib)).into_iter().flatten();
        for release in releases.flatten() {
            for module in MODULES {
                let packed = release.path().join(format!("{module}.xz"));
                let name = Path::new(module).file_name().context("a name")?;
                if packed.is_file() {
                    let file = std::fs::File::create(kept.join(name))?;
                    sh::run(Command::new("xz").arg("-dc").arg(&packed).stdout(file))?;
                }
            }
        }
    }
    Ok(())
}

/// Cloud kernels of the series that the package lists have, the newest first.
fn packages(series: &str) -> Result<Vec<String>> {
    let names = sh::output(
        Command::new("apt-cache").args(["pkgnames", &format!("linux-image-{series}.")]),
    )?;
    let mut names: Vec<String> = names
        .lines()
        .filter(|n| n.ends_with("-cloud-amd64") && !n.contains("-rt-"))
        .map(str::to_owned)
        .collect();
    names.sort_by_key(|n| {
        let numbers = n.split(|c: char| !c.is_ascii_digit());
        std::cmp::Reverse(numbers.filter_map(|d| d.parse().ok()).collect::<Vec<u32>>())
    });
    Ok(names)
}

/// Downloads the first of these that can be had: lists name packages that servers have no longer, or not yet.
fn download(packages: &[String], unpack: &Path) -> Result<bool> {
    const TRIES: usize = 4;
    for package in packages.iter().take(TRIES) {
        println!("vm: fetching {package}");
        let _ = std::fs::remove_dir_all(unpack);
        std::fs::create_dir_all(unpack)?;
        let mut get = Command::new("apt-get");
        get.args(["-qq", "-o", "Acquire::Retries=3", "download", package]);
        match sh::output(get.current_dir(unpack)) {
            Ok(_) => return Ok(true),
            Err(e) => println!("vm: {e:#}"),
        }
    }
    Ok(false)
}

/// The newest cloud kernel of the series, fetched once by package name.
pub fn kernel(series: &str) -> Result<Option<PathBuf>> {
    let cache = sh::target_dir().join("vm-kernel").join(series);
    let kept = cache.join("modules");
    let cached = || -> Option<PathBuf> {
        kept.is_dir().then_some(())?;
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
    let unpack = cache.join("unpack");
    let mut fetched = download(&packages(series)?, &unpack)?;
    if !fetched && sh::is_root() {
        // The lists may be older than what the servers have.
        if let Err(e) = sh::output(Command::new("apt-get").args(["-qq", "update"])) {
            println!("vm: {e:#}");
        }
        fetched = download(&packages(series)?, &unpack)?;
    }
    if !fetched {
        skip(&format!(
            "no linux-image-{series}*-cloud-amd64 is in the package lists and can be downloaded"
        ))?;
        return Ok(None);
    }
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
    keep_modules(&unpack, &kept)?;
    std::fs::remove_dir_all(&unpack)?;
    Ok(cached())
}
