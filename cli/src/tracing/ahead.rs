//! A script with all that it imports → a file that is a command of its own.
//!
//! It holds text, not code: compiling takes a millisecond, and what is compiled where it runs fits the kernel there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use probity_script::Files;

/// Writes the file; `flags` are options that it always runs with.
pub fn write(path: &Path, script: &Files, flags: &[&str]) -> Result<()> {
    let shown = path.display();
    let Some(text) = script.whole() else {
        bail!("{shown} cannot hold C headers; declare their types in the script");
    };
    let command = command().context("cannot find out where this program is")?;
    let mut line = format!("#!/usr/bin/env -S {command}");
    // Under that name `trace` goes without saying.
    if Path::new(&command).file_name() != Some("bpftrace".as_ref()) {
        line += " trace";
    }
    for flag in flags {
        line += " ";
        line += flag;
    }
    // A first line of the script's own says how it was run before.
    let rest = text.strip_prefix("#!");
    let text = match rest {
        Some(rest) => rest.split_once('\n').map_or("", |(_, text)| text),
        None => &text,
    };
    fs::write(path, format!("{line}\n{text}\n"))
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot write {shown}"))
}

/// This program's name where every shell finds it by that, otherwise its place.
fn command() -> Result<String> {
    let here = std::env::current_exe()?;
    let by_name = std::env::var_os("PATH").into_iter().any(|path| {
        std::env::split_paths(&path)
            .map(|dir| dir.join("probity"))
            .find(|p| p.is_file())
            .and_then(|p| p.canonicalize().ok())
            .is_some_and(|p: PathBuf| p == here)
    });
    match by_name {
        true => Ok("probity".into()),
        false => Ok(here.display().to_string()),
    }
}
