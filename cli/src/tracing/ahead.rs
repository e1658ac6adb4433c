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
        bail!("{shown} cannot hold C headers or objects; --emit writes the compiled object");
    };
    let command = command().context("cannot find out where this program is")?;
    let mut line = format!("#!/usr/bin/env -S {}", quoted(&command));
    // Under that name `trace` goes without saying.
    if Path::new(&command).file_name() != Some("bpftrace".as_ref()) {
        line += " trace";
    }
    for flag in flags {
        line += " ";
        line += flag;
    }
    if line.len() > MOST_IN_A_LINE || line.contains('\n') {
        bail!(
            "{command} is too long a path for the first line of a command; put it where PATH finds it"
        );
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

/// Bytes of a first line that every kernel since 5.1 reads.
const MOST_IN_A_LINE: usize = 254;

/// A path as `env -S` takes it for one word.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(plain) {
        return path.to_string();
    }
    // Between single quotes nothing but these two has a meaning.
    format!("'{}'", path.replace('\\', "\\\\").replace('\'', "\\'"))
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

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn env_splits_a_quoted_path_into_one_word() {
        for path in [
            "/bin/echo",
            "/a b/c",
            "/it's",
            "/back\\slash",
            "/$HOME/\"x\"",
            "/#not a remark",
            "/tab\there",
        ] {
            let line = format!("printf %s: {}", quoted(path));
            let done = std::process::Command::new("env")
                .arg("-S")
                .arg(line)
                .output();
            let said = done.expect("env can be run").stdout;
            assert_eq!(String::from_utf8_lossy(&said), format!("{path}:"));
        }
        assert_eq!(quoted("/usr/bin/probity"), "/usr/bin/probity");
    }
}
