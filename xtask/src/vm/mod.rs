//! Boots Debian kernels in QEMU and runs `tests/vm/*.sh` in them as root.
//!
//! The running kernel may lack what users have (kprobes, trampolines), and is one version; Debian kernels,
//! taken by package name, boot in seconds under software emulation. The guest is a busybox initramfs with
//! the build of `probity` that tests use, `programs/` and the tests that ask a kernel what the platform's tables say.
//! A script prints `ok NAME` or `not ok NAME: why` a case; a script that prints neither has failed.

mod debian;
mod guest;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::sh;

/// Series of kernels, and the scripts that run in each; none named: all.
const GUESTS: &[(&str, &[&str])] = &[("6.12", &[]), ("6.1", &["tables"])];

/// The test of the tables that takes minutes under emulation.
const SLOW: &str = "kernel_prototypes";

/// `only` names scripts; `--all` among them runs the slow tests too.
pub fn run(only: &[String]) -> Result<()> {
    for program in ["qemu-system-x86_64", "busybox", "cpio"] {
        if !sh::has(program) {
            return skip(&format!(
                "no {program} (cargo xtask setup installs it as root)"
            ));
        }
    }
    let slow = only.iter().any(|n| n == "--all");
    let only: Vec<&str> = only
        .iter()
        .map(String::as_str)
        .filter(|n| *n != "--all")
        .collect();
    let tables: Vec<PathBuf> = tables()?
        .into_iter()
        .filter(|t| slow || !t.to_string_lossy().contains(SLOW))
        .collect();
    let programs: Vec<PathBuf> = tables.into_iter().chain(known_load()?).collect();
    let mut ran = 0;
    for (series, names) in GUESTS {
        let wanted = |n: &str| {
            (names.is_empty() || names.contains(&n)) && (only.is_empty() || only.contains(&n))
        };
        let mut scripts: Vec<PathBuf> = std::fs::read_dir("tests/vm")?
            .filter_map(|e| e.ok().map(|e| e.path()))
            .filter(|p| p.extension().is_some_and(|x| x == "sh"))
            .filter(|p| p.file_stem().is_some_and(|s| wanted(&s.to_string_lossy())))
            .collect();
        scripts.sort();
        ran += scripts.len();
        if scripts.is_empty() {
            continue;
        }
        let Some(kernel) = debian::kernel(series)? else {
            continue;
        };
        let work = sh::target_dir().join("vm");
        let modules = debian::modules(series).into_iter().filter_map(|from| {
            let name = from.file_name()?.to_string_lossy().into_owned();
            Some((from, format!("modules/{name}")))
        });
        let object = "objects/congestion.o";
        let objects = [(Path::new("cli/tests").join(object), object.to_owned())];
        let files = guest::Files {
            scripts: &scripts,
            programs: &programs,
            data: &modules.chain(objects).collect::<Vec<_>>(),
        };
        let initramfs = guest::initramfs(&work, &files)?;
        let out = guest::boot(&kernel, &initramfs, &work)?;
        judge(&scripts, &out)?;
    }
    if ran == 0 {
        bail!("no such script in tests/vm");
    }
    Ok(())
}

/// What one script prints in a guest that has these files, with the newest Debian kernel of a series.
pub fn run_script(
    series: &str,
    script: &Path,
    programs: &[PathBuf],
    data: &[(PathBuf, String)],
) -> Result<Option<String>> {
    let Some(kernel) = debian::kernel(series)? else {
        return Ok(None);
    };
    built(&["known_loads"])?;
    let work = sh::target_dir().join("vm");
    let files = guest::Files {
        scripts: &[script.to_path_buf()],
        programs,
        data,
    };
    let initramfs = guest::initramfs(&work, &files)?;
    guest::boot(&kernel, &initramfs, &work).map(Some)
}

/// Where the whole suite runs as root these tests have to run; elsewhere why they do not is said.
fn skip(why: &str) -> Result<()> {
    if sh::is_root() && std::env::var_os("CI").is_some() {
        bail!("cannot run: {why}");
    }
    println!("vm: skipped: {why}");
    Ok(())
}

/// The program that does everything a known number of times, without libraries.
fn known_load() -> Result<Option<PathBuf>> {
    if !sh::has("cc") {
        skip("no cc to build tests/vm/load.c with")?;
        return Ok(None);
    }
    let work = sh::target_dir().join("vm");
    std::fs::create_dir_all(&work)?;
    let load = work.join("load");
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-g", "-static", "-no-pie", "tests/vm/load.c", "-o"]);
    sh::run(cc.arg(&load))?;
    Ok(Some(load))
}

/// The built tests that ask the kernel they run on; `probity` is built with them.
fn tables() -> Result<Vec<PathBuf>> {
    let mut names = vec!["known_loads".to_owned()];
    for entry in std::fs::read_dir("platform/tests")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(test) = name.strip_suffix(".rs") {
            names.push(test.to_owned());
        }
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let built = built(&names)?;
    let paths = built.lines().filter_map(|line| {
        let path = line.split_once("\"executable\":\"")?.1.split('"').next()?;
        let name = Path::new(path).file_name()?.to_string_lossy();
        name.starts_with("kernel_").then(|| PathBuf::from(path))
    });
    Ok(paths.collect())
}

/// Builds these tests, and the programs they run, as the tests of the whole workspace do: so nothing is built twice.
/// What cargo says of it, JSON lines.
fn built(tests: &[&str]) -> Result<String> {
    let mut build = sh::cargo();
    build.args(["test", "--quiet", "--workspace", "--no-run"]);
    build.arg("--message-format=json");
    build.args(tests.iter().flat_map(|t| ["--test", t]));
    sh::output(&mut build)
}

fn judge(scripts: &[PathBuf], out: &str) -> Result<()> {
    let mut failed = Vec::new();
    let mut passed = 0;
    for script in scripts {
        let name = script
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let begin = format!("## tests/{name}");
        let body = out
            .split(&begin)
            .nth(1)
            .unwrap_or("")
            .split("## end")
            .next()
            .unwrap_or("");
        let ok = body.lines().filter(|l| l.starts_with("ok ")).count();
        let bad = body.lines().filter(|l| l.starts_with("not ok")).count();
        passed += ok;
        if ok == 0 || bad > 0 || !out.contains(&format!("## end tests/{name} 0")) {
            println!("{body}");
            failed.push(name);
        } else {
            for line in body.lines().filter(|l| l.starts_with("ok ")) {
                println!("vm: {line}");
            }
        }
    }
    if failed.is_empty() {
        println!("vm: {passed} cases passed in the guest");
        Ok(())
    } else {
        bail!("failed in the guest: {}", failed.join(", "))
    }
}
