//! `cargo xtask record verify|run|gateway|trace`: measures our verifier, our engines, a host's extensions, or tracing, beside others, and writes what came of it.

mod gateway;
mod trace;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::sh;

const RUNS: &str = "12";
/// Seconds that another verifier has for a program.
const LIMIT: &str = "3";

/// Batches of each program on each engine.
const BATCHES: &str = "21";

/// `run`, or `verify DIR|FILE.o…`; paths are the caller's, `programs` and `benches` the repository's.
pub fn run(args: &[String]) -> Result<()> {
    match args.split_first() {
        Some((what, paths)) if what == "verify" => verify(paths),
        Some((what, [])) if what == "run" => engines(),
        Some((what, options)) if what == "gateway" => gateway::run(options),
        Some((what, [])) if what == "trace" => trace::run(),
        _ => bail!(
            "cargo xtask record verify [DIR|FILE.o…], record run, record gateway, or record trace"
        ),
    }
}

fn engines() -> Result<()> {
    if !sh::is_root() {
        bail!("Linux runs the programs too, and that takes root");
    }
    std::env::set_current_dir(sh::root())?;
    let mut build = sh::cargo();
    build.args(["build", "--release", "--quiet", "-p", "probity-cli"]);
    sh::run(build.args(["--features", "peers"]))?;
    let date = sh::output(Command::new("date").arg("+%Y-%m-%d"))?;
    let name = format!("benches/record/{}-run", date.trim());
    let (report, drawing) = (format!("{name}.md"), format!("{name}.svg"));
    let busy = load();
    let mut bench = Command::new(sh::target_dir().join("release/probity"));
    bench.args(["bench", "run", "--runs", BATCHES]);
    bench.args(["--report", &report, "--plot", &drawing]);
    sh::run(&mut bench)?;
    let body = std::fs::read_to_string(&report).with_context(|| format!("no {report}"))?;
    let commit = sh::output(Command::new("git").args(["rev-parse", "--short", "HEAD"]))?;
    let clang = sh::output(Command::new("clang-22").arg("--version")).unwrap_or_default();
    let head = format!(
        "# Our engines beside native code, Linux and other engines, {}\n\n\
         - Command: `cargo xtask record run`, which runs `probity bench run --runs {BATCHES}`, built with the feature `peers`.\n\
         - Machine: {}; the load average was {} when it began and {} when it ended.\n\
         - Kernel: Linux {}, through `BPF_PROG_TEST_RUN`.\n\
         - Native code: {}, `-O2`; scalar code with `-fno-vectorize -fno-slp-vectorize -fno-unroll-loops` too. Both without assumptions on the C library, as the objects.\n\
         - Others: {}.\n\
         - Commit: `{}`.\n\
         - A figure is the median of {BATCHES} batches of a millisecond, in CPU time of the thread; batches of all engines take turns. Linux is timed by its own clock, in whole nanoseconds.\n\
         - What an engine gives was compared with what native code gives, before and after.\n\n\
         ![Time over that of scalar native code, program by program]({})\n\n",
        date.trim(),
        machine(),
        busy,
        load(),
        kernel(),
        clang.lines().next().unwrap_or("no clang"),
        peers(),
        commit.trim(),
        drawing.rsplit('/').next().unwrap_or_default(),
    );
    std::fs::write(&report, head + body.trim_end() + "\n")?;
    println!("{report}\n{drawing}");
    Ok(())
}

/// Which versions of the other engines are built in.
fn peers() -> String {
    versions(&["rbpf", "solana-sbpf", "wasmtime"])
}

fn versions(names: &[&str]) -> String {
    let lock = std::fs::read_to_string("Cargo.lock").unwrap_or_default();
    let version = |name: &str| {
        let entry = format!("name = \"{name}\"\nversion = \"");
        let found = lock.split(entry.as_str()).nth(1);
        let version = found.and_then(|rest| rest.split('"').next());
        format!("{name} {}", version.unwrap_or("?"))
    };
    let all: Vec<String> = names.iter().map(|n| version(n)).collect();
    all.join(", ")
}

fn verify(paths: &[String]) -> Result<()> {
    if !sh::is_root() {
        bail!("Linux is asked too, and that takes root");
    }
    let here = std::env::current_dir()?;
    std::env::set_current_dir(sh::root())?;
    let mut build = sh::cargo();
    build.args(["build", "--release", "--quiet", "-p", "probity-cli"]);
    sh::run(build.args(["--features", "prevail"]))?;
    let mut objects = vec![PathBuf::from("programs")];
    if Path::new("benches/programs").is_dir() {
        objects.push("benches/programs".into());
    }
    objects.extend(paths.iter().map(|p| here.join(p)));
    // Without the directories of this machine.
    let short = |p: &PathBuf| match p.is_absolute() {
        true => p.file_name().map(PathBuf::from).unwrap_or_default(),
        false => p.clone(),
    };
    let shown: Vec<String> = objects
        .iter()
        .map(|p| short(p).display().to_string())
        .collect();
    let date = sh::output(Command::new("date").arg("+%Y-%m-%d"))?;
    let name = format!("benches/record/{}-verify", date.trim());
    let (report, drawing) = (format!("{name}.md"), format!("{name}.svg"));
    let busy = load();
    let mut bench = Command::new(sh::target_dir().join("release/probity"));
    bench.args(["bench", "verify", "--against", "linux,prevail"]);
    bench.args(["--runs", RUNS, "--limit", LIMIT]);
    bench.args(["--report", &report, "--plot", &drawing]);
    bench.args(&objects).stdout(std::process::Stdio::null());
    // Files that are no objects are named on standard error, and the rest is measured.
    match bench.status().context("cannot start probity")?.code() {
        Some(0 | 1) => {}
        other => bail!("bench verify ended with {other:?}"),
    }
    let body = std::fs::read_to_string(&report).with_context(|| format!("no {report}"))?;
    let commit = sh::output(Command::new("git").args(["rev-parse", "--short", "HEAD"]))?;
    let drawn = drawing.rsplit('/').next().unwrap_or_default();
    let head = format!(
        "# Verification beside Linux and PREVAIL, {}\n\n\
         - Command: `cargo xtask record verify DIR…`, which runs `probity bench verify --against linux,prevail --runs {RUNS} --limit {LIMIT} {}`.\n\
         - Machine: {}; the load average was {} when it began and {} when it ended.\n\
         - Kernel: Linux {}, whose own `verification time` this is, without its compiler.\n\
         - Commit: `{}`.\n\
         - Times are medians of the calm ones of {RUNS} runs (a fixed piece of work took about its least before and after), fewer where those took a second (PREVAIL: a tenth); ours is one thread, from instructions to verdict.\n\
         - Memory: ours what is allocated at most; Linux's what its memory cgroup counts of kernel memory at most during a load.\n\
         - PREVAIL is its Rust port, with termination checked, {LIMIT} s for a program; it counts neither instructions nor states.\n\n\
         ![Time against size, both axes logarithmic]({drawn})\n\n",
        date.trim(),
        shown.join(" "),
        machine(),
        busy,
        load(),
        kernel(),
        commit.trim(),
    );
    std::fs::write(&report, head + body.trim_end() + "\n")?;
    println!("{report}\n{drawing}");
    Ok(())
}

/// The class of the machine, without its name.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpus = info.lines().filter(|l| l.starts_with("processor")).count();
    let wide = match info.contains("avx512f") {
        true => " with AVX-512",
        false => "",
    };
    let kind = std::env::consts::ARCH.replace('_', "-");
    let virtual_ = if info.contains("hypervisor") {
        "virtual "
    } else {
        ""
    };
    format!("{kind}{wide}, {cpus} {virtual_}CPUs")
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_string()
}

fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release
        .trim()
        .split('.')
        .take(2)
        .collect::<Vec<_>>()
        .join(".")
}
