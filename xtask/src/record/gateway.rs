//! `cargo xtask record gateway`: one filter as an extension, natively and in wasmtime, under a load generator and under callgrind.

use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{kernel, load, machine, versions};
use crate::sh;

/// The bench's forms, in its own order.
const FORMS: [&str; 6] = [
    "no filter",
    "native",
    "extension",
    "wasmtime, one instance",
    "wasmtime, one instance, bounded",
    "wasmtime, an instance a request",
];

/// The gateway of `programs/hosts` under a load generator; options are the bench's own.
pub fn run(options: &[String]) -> Result<()> {
    std::env::set_current_dir(sh::root())?;
    if !sh::has("wrk") || !sh::has("clang-22") || !sh::has("wasm-ld-22") {
        bail!(
            "it takes wrk, clang-22 and wasm-ld-22 (packages wrk, clang-22, lld-22; cargo xtask setup)"
        );
    }
    let mut build = sh::cargo();
    build.args(["build", "--release", "--quiet", "-p", "probity-gateway"]);
    sh::run(build.args(["--features", "bench"]))?;
    let date = sh::output(Command::new("date").arg("+%Y-%m-%d"))?;
    let report = format!("benches/record/{}-gateway.md", date.trim());
    let busy = load();
    let mut bench = Command::new(sh::target_dir().join("release/probity-gateway-bench"));
    bench
        .args(options)
        .args(["--report", &report])
        .arg("--scratch")
        .arg(sh::target_dir());
    sh::run(&mut bench)?;
    let instructions = instructions()?;
    let body = std::fs::read_to_string(&report).with_context(|| format!("no {report}"))?;
    let commit = sh::output(Command::new("git").args(["rev-parse", "--short", "HEAD"]))?;
    let wrk = Command::new("wrk").arg("--version").output();
    let wrk = wrk
        .map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
        .unwrap_or_default();
    let head = format!(
        "# The gateway under load: an extension beside native code and wasmtime, and a thousand replacements, {}\n\n\
         - Command: `cargo xtask record gateway{}`.\n\
         - Machine: {}; the load average was {} when it began and {} when it ended.\n\
         - Kernel: Linux {}.\n\
         - Load: {}, on loopback.\n\
         - Others: {}.\n\
         - Commit: `{}`.\n\n",
        date.trim(),
        options.iter().map(|o| format!(" {o}")).collect::<String>(),
        machine(),
        busy,
        load(),
        kernel(),
        wrk.split(" [").next().unwrap_or("wrk"),
        versions(&["hyper", "tokio", "wasmtime"]),
        commit.trim(),
    );
    std::fs::write(&report, head + body.trim_end() + "\n" + &instructions)?;
    println!("{report}");
    Ok(())
}

/// What one request costs each form in instructions, which no other process disturbs; nothing without valgrind.
fn instructions() -> Result<String> {
    if !sh::has("valgrind") {
        return Ok(String::new());
    }
    let mut out = String::from(
        "\n## Instructions\n\n\
         Of the filter alone for one such request, counted by callgrind: the difference between 2,000 and 12,000 requests.\n\n\
         | filter | instructions a request | more than no filter |\n|---|---|---|\n",
    );
    let mut none = None;
    for (form, name) in FORMS.iter().enumerate() {
        let counted = counted(form, 2_000).and_then(|few| Ok((few, counted(form, 12_000)?)));
        // What valgrind cannot run is left out.
        let Ok((few, many)) = counted else {
            out += &format!("| {name} | not counted | |\n");
            continue;
        };
        let each = (many - few) as f64 / 10_000.0;
        let none = *none.get_or_insert(each);
        out += &format!("| {name} | {each:.0} | {:.0} |\n", each - none);
    }
    Ok(out)
}

fn counted(form: usize, calls: u64) -> Result<u64> {
    let dir = sh::target_dir();
    let done = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(dir.join("release/probity-gateway-bench"))
        .args(["--form", &form.to_string(), "--calls", &calls.to_string()])
        .arg("--scratch")
        .arg(&dir)
        .output()
        .context("valgrind")?;
    let text = String::from_utf8_lossy(&done.stderr);
    if !done.status.success() {
        bail!("valgrind failed: {text}");
    }
    let line = text.lines().find_map(|l| l.split_once("Collected : "));
    let (_, count) = line.context("no count")?;
    count.trim().parse().context("a count")
}
