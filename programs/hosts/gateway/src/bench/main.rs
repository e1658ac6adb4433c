//! `probity-gateway-bench`: the gateway under `wrk`, with one filter in several forms; and a thousand replacements under load.

mod filters;
mod forms;
mod generation;
mod replace;
mod wrk;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use filters::PASS;
use forms::{EXTENSION, Forms, NAMES, NATIVE, Turns};
use probity_gateway::filter::Filter;
use probity_gateway::hooks;
use probity_gateway::server::{Server, Settings, Source};
use probity_host::Load;

/// Measures the gateway with one filter as an extension, natively and in wasmtime, under wrk
#[derive(Parser)]
struct Args {
    /// Where guard.bpf.c and guard.o are
    #[arg(long, default_value = "programs/hosts/gateway/extensions")]
    extensions: PathBuf,
    /// Rounds in which each form has its turn
    #[arg(long, default_value_t = 101)]
    rounds: usize,
    /// Milliseconds of a turn
    #[arg(long, default_value_t = 50)]
    turn: u64,
    /// Only the filter in this form, by its number, without a server: for callgrind
    #[arg(long)]
    form: Option<usize>,
    /// How often, with --form
    #[arg(long, default_value_t = 1000)]
    calls: u64,
    /// Seconds in which a thousand replacements are made; 0 leaves them out
    #[arg(long, default_value_t = 60)]
    replacing: u32,
    /// Where the WebAssembly is built
    #[arg(long, default_value = "target")]
    scratch: PathBuf,
    /// Where the report goes (Markdown)
    #[arg(long)]
    report: Option<PathBuf>,
}

/// Connections of wrk.
const CONNECTIONS: u32 = 32;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let mut out = forms(args)?;
    if args.form.is_some() {
        return Ok(());
    }
    if args.replacing != 0 {
        out += &replace::report(args.replacing)?;
    }
    print!("{out}");
    if let Some(path) = &args.report {
        std::fs::write(path, out)?;
    }
    Ok(())
}

/// What one form did in one round.
#[derive(Clone, Copy, Default)]
struct Turn {
    /// Requests a second.
    rate: f64,
    /// Nanoseconds of CPU time of the gateway a request.
    cpu: f64,
}

/// Of a turn, before it counts: requests of the form before are still written out.
const SETTLING: Duration = Duration::from_millis(2);

fn forms(args: &Args) -> Result<String> {
    let object = args.extensions.join("guard.o");
    let object = std::fs::read(&object).with_context(|| object.display().to_string())?;
    let wasm = wasm(&args.extensions.join("guard.bpf.c"), &args.scratch)?;
    let host = hooks::host().cpus(1).build()?;
    host.load("guard", &object, &Load::default())?;
    let turns = Turns::new();
    if let Some(form) = args.form {
        turns.give(form, false);
        return calls(Forms::new(turns, &host, &wasm, Some(form))?, args.calls);
    }
    let pinned = pin();
    let settings = Settings {
        listen: ([127, 0, 0, 1], 0).into(),
        source: Source::Answer("hello\n".into()),
        grace: Duration::from_secs(5),
    };
    let server = Server::start(
        &settings,
        vec![Forms::new(turns.clone(), &host, &wasm, None)?],
    )?;
    let turn = Duration::from_millis(args.turn);
    let all = (turn + SETTLING) * (NAMES.len() * args.rounds * 2) as u32;
    let seconds = all.as_secs_f64() * 1.05 + 3.0;
    let load = wrk::start(server.address(), CONNECTIONS, seconds.ceil() as u32)?;
    std::thread::sleep(Duration::from_secs(1));
    let mut rounds = Vec::new();
    let mut random = Order(0x9e37_79b9_7f4a_7c15);
    // First without a clock in the filter, then with it.
    for n in 0..args.rounds * 2 {
        let clock = n >= args.rounds;
        let mut round = [Turn::default(); NAMES.len()];
        for form in random.order() {
            turns.give(form, clock);
            std::thread::sleep(SETTLING);
            let (start, cpu, before) = (Instant::now(), cpu_time(), turns.requests(form));
            std::thread::sleep(turn);
            let made = (turns.requests(form) - before).max(1) as f64;
            round[form] = Turn {
                rate: made / start.elapsed().as_secs_f64(),
                cpu: (cpu_time() - cpu) as f64 / made,
            };
        }
        if !clock {
            rounds.push(round);
        }
    }
    // Nobody's filter until wrk ends.
    turns.give(0, false);
    let run = wrk::finish(load)?;
    let served = server.stop()?.requests;
    let asked: u64 = host
        .extensions()
        .iter()
        .flat_map(|e| &e.programs)
        .map(|p| p.counters.calls)
        .sum();
    let of_all: u64 = (0..NAMES.len()).map(|f| turns.requests(f)).sum();
    if asked != turns.requests(EXTENSION) || of_all != served || run.failed != 0 {
        bail!(
            "{asked} calls for {} requests, {of_all} of {served}, {} failed",
            turns.requests(EXTENSION),
            run.failed
        );
    }
    report(args, &rounds, &turns, pinned)
}

fn report(
    args: &Args,
    rounds: &[[Turn; NAMES.len()]],
    turns: &Turns,
    pinned: bool,
) -> Result<String> {
    let pinned = match pinned {
        true => "wrk has one CPU and the gateway another",
        false => "the machine has one CPU, or no taskset: the gateway and wrk share it",
    };
    let mut out = format!(
        "## One filter in several forms\n\n\
         `extensions/guard.bpf.c`: a scan of the path, a header field, a count of each client. One gateway of one thread answers by itself, \
         wrk asks with one thread and {CONNECTIONS} connections all the while; {pinned}. \
         The forms take turns of {} ms behind the same server, in a random order in each of {} rounds.\n\
         Ratios are of turns of one round; given are their medians, and between which ratios the median of all rounds lies with 95 % (by ranks).\n\
         Added time is the mean of the shortest 95 % of all times that the filter took of a request, in as many further rounds, less what the clock took without a filter.\n\n\
         | filter | requests a second | to native | 95 % | CPU time a request, ns | to native | 95 % | added time a request, ns | to the extension's |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        args.turn, args.rounds
    );
    let clock = turns.times[0].mean();
    let extension = turns.times[EXTENSION].mean() - clock;
    for (form, name) in NAMES.iter().enumerate() {
        let added = turns.times[form].mean() - clock;
        let of = |pick: fn(&Turn) -> f64| middle(rounds.iter().map(|r| pick(&r[form])).collect()).1;
        let to = |pick: fn(&Turn) -> f64| {
            middle(
                rounds
                    .iter()
                    .map(|r| pick(&r[form]) / pick(&r[NATIVE]))
                    .collect(),
            )
        };
        let (rate, cpu) = (to(|t| t.rate), to(|t| t.cpu));
        writeln!(
            out,
            "| {name} | {:.0} | {:.4} | {:.4} to {:.4} | {:.0} | {:.4} | {:.4} to {:.4} | {added:.0} | {:.2} |",
            of(|t| t.rate),
            rate.1,
            rate.0,
            rate.2,
            of(|t| t.cpu),
            cpu.1,
            cpu.0,
            cpu.2,
            added / extension,
        )?;
    }
    Ok(out + "\n")
}

/// The median, between the bounds of its interval of 95 %.
fn middle(mut all: Vec<f64>) -> (f64, f64, f64) {
    all.sort_by(f64::total_cmp);
    let n = all.len();
    let reach = (0.98 * (n as f64).sqrt()).ceil() as usize;
    let at = |n: usize| all.get(n).copied().unwrap_or(f64::NAN);
    let last = n.saturating_sub(1);
    (
        at((n / 2).saturating_sub(reach)),
        at(n / 2),
        at((n / 2 + reach).min(last)),
    )
}

/// Orders of the forms: none is always before another.
struct Order(u64);

impl Order {
    fn order(&mut self) -> [usize; NAMES.len()] {
        let mut order: [usize; NAMES.len()] = std::array::from_fn(|n| n);
        for n in (1..order.len()).rev() {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            order.swap(n, (self.0 % (n as u64 + 1)) as usize);
        }
        order
    }
}

/// The filter alone, so many times: what callgrind counts.
fn calls(mut forms: Forms, calls: u64) -> Result<String> {
    let request = hyper::Request::get("/products/1017/reviews?sort=new&page=2")
        .header("user-agent", "wrk")
        .header("accept", "*/*")
        .header("x-request", "1")
        .header("host", "127.0.0.1:8080");
    let (mut head, ()) = request.body(())?.into_parts();
    let client = ([127, 0, 0, 1], 4711).into();
    let thread = forms.thread();
    for _ in 0..calls {
        let held = Forms::begin(&thread).context("a generation")?;
        if forms.request(&held, client, &mut head) != PASS {
            bail!("a request does not pass");
        }
    }
    Ok(String::new())
}

/// The gateway on a CPU of its own; [`wrk::start`] takes the first.
fn pin() -> bool {
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
    let pid = std::process::id().to_string();
    let mut taskset = Command::new("taskset");
    taskset.args(["-a", "-p", "-c", "1", &pid]);
    let done = taskset.stdout(std::process::Stdio::null()).status();
    cpus > 1 && done.is_ok_and(|s| s.success())
}

/// Of all threads of this process that there are, in nanoseconds.
fn cpu_time() -> u64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return 0;
    };
    let of = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    tasks.flatten().filter_map(of).sum()
}

fn wasm(source: &Path, scratch: &Path) -> Result<Vec<u8>> {
    let built = scratch.join("guard.wasm");
    let done = Command::new("clang-22")
        .args(["--target=wasm32", "-O2", "-ffreestanding", "-nostdlib"])
        .args(["-Wl,--no-entry", "-Wl,--allow-undefined", "-o"])
        .args([&built, source])
        .status()
        .context("cannot start clang-22")?;
    match done.success() {
        true => Ok(std::fs::read(built)?),
        false => bail!(
            "clang-22 cannot compile {} (packages clang-22, lld-22)",
            source.display()
        ),
    }
}
