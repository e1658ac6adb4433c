//! Two verdicts on every program of the objects named, Linux's and ours: `cargo xtask agree`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use probity_tests::agree::explained::Table;
use probity_tests::agree::{Oracle, Settings, files, json, run, text};
use probity_tests::kernel;

/// The command's, without its count.
#[global_allocator]
static ALLOCATOR: probity_runtime::Pool = probity_runtime::Pool;

const USAGE: &str = "\
usage: agree [OPTIONS] DIR|FILE.o…

Gives every program to the running kernel and to our verifier and compares the verdicts.
The exit status is 1 when something is accepted that the kernel rejects and
tests/agree/explained.toml does not explain, or when the verifier panics.

  --json                  print everything as one JSON value
  --out FILE              write the JSON value to FILE besides
  --kernel-verdicts FILE  keep the kernel's verdicts there, so that it is asked once only
  --kernel none           compare with the annotations of the kernel's selftests instead
  --program NAME          only programs of that name
  --feature NAME          only programs with that feature, as the table spells it
  --limit-ms N            longest time for one program on our side (20000)
  --explained FILE        another table
  --no-summaries          loops are walked lap by lap
  --no-joins              states at merge points are not joined
  --quiet                 no progress on standard error
";

fn main() -> ExitCode {
    match start() {
        Ok(code) => code,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(2)
        }
    }
}

fn start() -> Result<ExitCode, String> {
    let mut args = std::env::args().skip(1);
    let mut settings = Settings {
        oracle: Oracle::Kernel,
        cache: None,
        program: None,
        feature: None,
        limit: Duration::from_secs(20),
        progress: std::io::IsTerminal::is_terminal(&std::io::stderr()),
        table: Table::default(),
        summaries: true,
        joins: true,
    };
    let mut table = None;
    let mut as_json = false;
    let mut out = None;
    let mut paths = Vec::new();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} wants a value"));
        match arg.as_str() {
            "--json" => as_json = true,
            "--out" => out = Some(PathBuf::from(value()?)),
            "--kernel-verdicts" => settings.cache = Some(PathBuf::from(value()?)),
            "--kernel" => match value()?.as_str() {
                "none" => settings.oracle = Oracle::Annotations,
                "running" => settings.oracle = Oracle::Kernel,
                other => return Err(format!("--kernel is `none` or `running`, not `{other}`")),
            },
            "--program" => settings.program = Some(value()?),
            "--feature" => settings.feature = Some(value()?),
            "--limit-ms" => {
                let ms = value()?;
                let ms = ms.parse().map_err(|e| format!("--limit-ms {ms}: {e}"))?;
                settings.limit = Duration::from_millis(ms);
            }
            "--explained" => table = Some(PathBuf::from(value()?)),
            "--no-summaries" => settings.summaries = false,
            "--no-joins" => settings.joins = false,
            "--quiet" => settings.progress = false,
            "--help" | "-h" => {
                print!("{USAGE}");
                return Ok(ExitCode::SUCCESS);
            }
            other if other.starts_with('-') => return Err(format!("no option {other}\n\n{USAGE}")),
            path => paths.push(PathBuf::from(path)),
        }
    }
    if paths.is_empty() {
        return Err(format!("no objects named\n\n{USAGE}"));
    }
    settings.table = match table {
        Some(path) => Table::read(&path)?,
        None => Table::ours()?,
    };
    if settings.oracle == Oracle::Kernel
        && let Err(why) = kernel::available()
    {
        eprintln!("the kernel gives no verdicts here ({why}); comparing with annotations");
        settings.oracle = Oracle::Annotations;
    }
    kernel::raise_limits();
    let files = files(&paths)?;
    let outcome = run(&files, &settings)?;
    if let Some(path) = out {
        std::fs::write(&path, json(&outcome)).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    if as_json {
        println!("{}", json(&outcome));
    } else {
        print!("{}", text(&outcome));
    }
    let bad = outcome
        .cases
        .iter()
        .any(|c| c.is_unsound() || c.ours.verdict == "panic");
    // Threads of programs that took too long are not waited for.
    std::process::exit(i32::from(bad))
}
