//! `cargo xtask agree`: the tool of the `tests` crate, built for speed; on the running kernel or in a guest.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{sh, vm};

/// Hands the arguments on. An exit status other than 0 is the tool's verdict.
pub fn run(args: &[String]) -> Result<()> {
    let mut build = sh::cargo();
    build.args(["build", "--release", "--quiet", "-p", "probity-tests"]);
    build.args(["--bin", "agree"]).current_dir(sh::root());
    sh::run(&mut build)?;
    let tool = sh::target_dir().join("release/agree");
    if let Some(at) = args.iter().position(|a| a == "--guest") {
        let series = args
            .get(at + 1)
            .context("--guest takes a series of kernels, as 6.12")?;
        let rest: Vec<String> = args[..at].iter().chain(&args[at + 2..]).cloned().collect();
        return in_guest(&tool, series, &rest);
    }
    let status = std::process::Command::new(&tool).args(args).status()?;
    verdict(status.code())
}

fn verdict(code: Option<i32>) -> Result<()> {
    match code {
        Some(0) => Ok(()),
        Some(1) => bail!("something is accepted that Linux refuses, and nothing explains it"),
        Some(code) => bail!("agree ended with {code}"),
        None => bail!("agree did not come to its end"),
    }
}

/// The same beside a Debian kernel in QEMU, which has what the running one may lack: trampolines, kprobes.
fn in_guest(tool: &Path, series: &str, args: &[String]) -> Result<()> {
    let mut data = vec![(
        sh::root().join("tests/agree/explained.toml"),
        "explained.toml".to_string(),
    )];
    let mut options = Vec::new();
    for arg in args {
        match Path::new(arg) {
            path if path.exists() => objects(&std::path::absolute(path)?, &mut data)?,
            _ => options.push(arg.clone()),
        }
    }
    // Paths from here on are the repository's.
    std::env::set_current_dir(sh::root())?;
    let script = sh::target_dir().join("agree.sh");
    let options = options.join(" ");
    std::fs::write(
        &script,
        format!("agree --quiet --explained explained.toml --limit-ms 60000 {options} objects\n"),
    )?;
    let Some(out) = vm::run_script(series, &script, &[tool.to_path_buf()], &data)? else {
        bail!("there is no kernel of the series {series}");
    };
    print!("{out}");
    let code = out.split("## end tests/agree.sh ").nth(1);
    verdict(code.and_then(|t| t.lines().next()?.trim().parse().ok()))
}

fn objects(path: &Path, data: &mut Vec<(PathBuf, String)>) -> Result<()> {
    if path.is_dir() {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(path)?
            .filter_map(|e| e.ok().map(|e| e.path()))
            .collect();
        entries.sort();
        return entries.iter().try_for_each(|p| objects(p, data));
    }
    if path.extension().is_some_and(|x| x == "o") {
        let name = path.file_name().context("a name")?.to_string_lossy();
        let dir = path.parent().and_then(Path::file_name).unwrap_or_default();
        let to = format!("objects/{}/{name}", dir.to_string_lossy());
        data.push((path.to_path_buf(), to));
    }
    Ok(())
}
