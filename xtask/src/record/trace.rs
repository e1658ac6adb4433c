//! Tracing beside bpftrace and beside C with libbpf: what a traced system call takes longer, what a
//! start takes, hundreds of probes, a flood of records.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::sh;

/// Name in reference.bpf.c, and what the script does.
const SCRIPTS: [(&str, &str); 4] = [
    ("count", "@ = count();"),
    ("comm", "@[comm] = count();"),
    ("hist", "@ = hist(nsecs);"),
    ("print", "printf(\"%d %s %llu\\n\", pid, comm, nsecs);"),
];
const ROUNDS: usize = 5;
const PLACE: &str = "tracepoint:syscalls:sys_enter_getppid";
const ONE_LINER: &str = "tracepoint:raw_syscalls:sys_enter { @[comm] = count(); }";
const FLOOD: u64 = 2_000_000;

struct Tools {
    probity: PathBuf,
    load: PathBuf,
    reference: PathBuf,
    object: PathBuf,
    bpftrace: bool,
}

/// Writes the whole report.
pub fn run() -> Result<()> {
    if !sh::is_root() {
        bail!("tracing takes root");
    }
    std::env::set_current_dir(sh::root())?;
    let tools = build()?;
    let busy = super::load();
    let costs = costs(&tools)?;
    let starts = starts(&tools)?;
    let many = many(&tools)?;
    let flood = flood(&tools)?;
    let date = sh::output(Command::new("date").arg("+%Y-%m-%d"))?;
    let commit = sh::output(Command::new("git").args(["rev-parse", "--short", "HEAD"]))?;
    let version = match tools.bpftrace {
        true => sh::output(Command::new("bpftrace").arg("--version"))?,
        false => "no bpftrace".into(),
    };
    let report = format!("benches/record/{}-trace.md", date.trim());
    let text = format!(
        "# Tracing beside bpftrace and C, {}\n\n\
         - Command: `cargo xtask record trace`; the program is built with `--profile dist`.\n\
         - Machine: {}; the load average was {busy} when it began and {} when it ended.\n\
         - Kernel: Linux {}; {}.\n\
         - Commit: `{}`.\n\n\
         {costs}\n{starts}\n{many}\n{flood}",
        date.trim(),
        super::machine(),
        super::load(),
        super::kernel(),
        version.trim(),
        commit.trim(),
    );
    std::fs::write(&report, text)?;
    println!("{report}");
    Ok(())
}

fn build() -> Result<Tools> {
    let mut cargo = sh::cargo();
    cargo.args(["build", "--quiet", "--profile", "dist", "-p", "probity-cli"]);
    sh::run(&mut cargo)?;
    let work = sh::target_dir().join("trace");
    std::fs::create_dir_all(&work)?;
    let (load, reference) = (work.join("load"), work.join("reference"));
    let object = work.join("reference.bpf.o");
    let cc = |args: &[&str], out: &Path| {
        let (compiler, args) = args.split_first().context("a compiler")?;
        sh::run(Command::new(compiler).args(args).arg("-o").arg(out))
    };
    cc(&["cc", "-O2", "benches/trace/load.c"], &load)?;
    cc(
        &["cc", "-O2", "benches/trace/reference.c", "-lbpf"],
        &reference,
    )?;
    let include = format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    cc(
        &[
            "clang-22",
            "-O2",
            "-g",
            "-target",
            "bpf",
            &include,
            "-c",
            "benches/trace/reference.bpf.c",
        ],
        &object,
    )?;
    Ok(Tools {
        probity: sh::target_dir().join("dist/probity"),
        load,
        reference,
        object,
        bpftrace: sh::has("bpftrace"),
    })
}

/// A tracer that says when it is attached.
struct Tracer {
    child: Child,
    attached: Duration,
}

impl Tracer {
    fn start(command: &mut Command, out: Stdio) -> Result<Tracer> {
        let begin = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let mut errors = BufReader::new(child.stderr.take().context("its standard error")?);
        let mut said = String::new();
        while !said.contains("Attached") {
            let mut line = String::new();
            if errors.read_line(&mut line)? == 0 {
                bail!("{command:?} ended without attaching: {said}");
            }
            said += &line;
        }
        let attached = begin.elapsed();
        // What it says later must not stop it.
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        Ok(Tracer { child, attached })
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        std::fs::read_to_string(&path).with_context(|| format!("no {path}"))
    }

    /// Nanoseconds of processor time so far.
    fn processor(&self) -> Result<f64> {
        let text = self.read("schedstat")?;
        let first = text.split_whitespace().next();
        Ok(first.and_then(|n| n.parse().ok()).unwrap_or(0.0))
    }

    /// The most memory that it had, in KiB.
    fn memory(&self) -> Result<u64> {
        let text = self.read("status")?;
        let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let number = line.and_then(|l| l.split_whitespace().next()?.parse().ok());
        number.context("no VmHWM")
    }

    /// Interrupts it; how long it took to end.
    fn end(mut self) -> Result<Duration> {
        let begin = Instant::now();
        let pid = self.child.id().to_string();
        sh::run(Command::new("kill").args(["-INT", &pid]))?;
        self.child.wait()?;
        Ok(begin.elapsed())
    }
}

fn trace(tools: &Tools, script: &str) -> Command {
    let mut command = Command::new(&tools.probity);
    command.args(["trace", "-e", script]);
    command
}

/// Nanoseconds that a call takes.
fn call(tools: &Tools) -> Result<f64> {
    let text = sh::output(Command::new(&tools.load).args(["200", "1000"]))?;
    text.trim().parse().context("the load says no number")
}

fn costs(tools: &Tools) -> Result<String> {
    let mut text = String::from(
        "## What a traced system call takes longer\n\n\
         Nanoseconds a call, the least of batches of 1,000 calls in five rounds in which all take turns; there is a pause after each batch, so that no record is lost for want of room.\n\n\
         | script | C with libbpf | Probity | bpftrace | Probity over C |\n|---|---|---|---|---|\n",
    );
    for (name, body) in SCRIPTS {
        let script = format!("{PLACE} {{ {body} }}");
        let mut least = [f64::MAX; 4];
        for _ in 0..ROUNDS {
            least[0] = least[0].min(call(tools)?);
            let mut reference = Command::new(&tools.reference);
            reference.arg(&tools.object).arg(name);
            for (n, mut command) in [(1, reference), (2, trace(tools, &script))] {
                let tracer = Tracer::start(&mut command, Stdio::null())?;
                least[n] = least[n].min(call(tools)?);
                tracer.end()?;
            }
            if tools.bpftrace {
                least[3] = least[3].min(beside_bpftrace(tools, &script)?);
            }
        }
        let [base, c, ours, theirs] = least;
        let theirs = match tools.bpftrace {
            true => format!("{:.0}", theirs - base),
            false => "–".into(),
        };
        writeln!(
            text,
            "| `{body}` | {:.0} | {:.0} | {theirs} | {:.2} |",
            c - base,
            ours - base,
            (ours - base) / (c - base)
        )?;
    }
    Ok(text)
}

/// Some versions say on standard output that they are attached, where a pipe keeps it back.
fn beside_bpftrace(tools: &Tools, script: &str) -> Result<f64> {
    let mut child = Command::new("bpftrace")
        .args(["-e", script])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let bare = call(tools)?;
    let mut traced = bare;
    let begin = Instant::now();
    // It is attached when calls take longer.
    while begin.elapsed() < Duration::from_secs(10) && traced < bare + 20.0 {
        traced = call(tools)?;
    }
    let least = call(tools)?;
    let pid = child.id().to_string();
    sh::run(Command::new("kill").args(["-INT", &pid]))?;
    child.wait()?;
    Ok(least)
}

fn starts(tools: &Tools) -> Result<String> {
    let mut best: Option<(f64, f64, u64)> = None;
    let mut kernel = f64::MAX;
    for _ in 0..10 {
        let tracer = Tracer::start(&mut trace(tools, ONE_LINER), Stdio::null())?;
        let now = (
            tracer.processor()? / 1e6,
            tracer.attached.as_secs_f64() * 1e3,
            tracer.memory()?,
        );
        tracer.end()?;
        best = Some(match best {
            Some(b) => (b.0.min(now.0), b.1.min(now.1), b.2.max(now.2)),
            None => now,
        });
        let mut reference = Command::new(&tools.reference);
        let tracer = Tracer::start(reference.arg(&tools.object).arg("comm"), Stdio::null())?;
        kernel = kernel.min(tracer.attached.as_secs_f64() * 1e3);
        tracer.end()?;
    }
    let (processor, wall, memory) = best.context("no run")?;
    let bytes = std::fs::metadata(&tools.probity)?.len();
    let libraries = sh::output(Command::new("ldd").arg(&tools.probity))?;
    let libraries: Vec<&str> = libraries
        .lines()
        .filter_map(|l| l.split_whitespace().next())
        .filter(|l| !l.contains("vdso") && !l.contains("ld-linux"))
        .collect();
    Ok(format!(
        "## Start, memory and size\n\n\
         `{ONE_LINER}`, from command to attached, the best of ten: {processor:.0} ms of processor time, {wall:.0} ms by the clock.\n\
         The C program that loads and attaches the same from a finished object takes {kernel:.0} ms by the clock: what the kernel's own loading takes is less.\n\
         The most memory: {:.1} MB.\n\
         The stripped binary: {:.2} MB; it needs {}.\n",
        memory as f64 * 1024.0 / 1e6,
        bytes as f64 / 1e6,
        libraries.join(", "),
    ))
}

fn many(tools: &Tools) -> Result<String> {
    let mut rows = String::new();
    for (what, script) in [
        (
            "one program",
            "tracepoint:syscalls:sys_enter_* { @ = count(); }",
        ),
        (
            "a program each",
            "tracepoint:syscalls:sys_enter_* { @[probe] = count(); }",
        ),
    ] {
        let tracer = Tracer::start(&mut trace(tools, script), Stdio::null())?;
        let attached = tracer.attached.as_secs_f64();
        let memory = tracer.memory()? as f64 * 1024.0 / 1e6;
        let ended = tracer.end()?.as_secs_f64();
        writeln!(
            rows,
            "| `{script}` ({what}) | {attached:.2} s | {ended:.2} s | {memory:.0} MB |"
        )?;
    }
    let count = std::fs::read_dir("/sys/kernel/tracing/events/syscalls")
        .map(|d| {
            d.flatten()
                .filter(|e| e.file_name().to_string_lossy().starts_with("sys_enter_"))
                .count()
        })
        .unwrap_or(0);
    Ok(format!(
        "## {count} tracepoints\n\n| script | command to attached | interrupt to ended | memory |\n|---|---|---|---|\n{rows}"
    ))
}

fn flood(tools: &Tools) -> Result<String> {
    let script = format!(
        "{PLACE} /comm == \"load\"/ {{ @all = count(); printf(\"%d %s %llu\\n\", pid, comm, nsecs); }}"
    );
    let out = sh::target_dir().join("trace/flood.json");
    let mut command = trace(tools, &script);
    command.args(["-f", "json", "-o"]).arg(&out);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(10)
        && !std::fs::read_to_string(&out).is_ok_and(|t| t.contains("attached_probes"))
    {
        std::thread::sleep(Duration::from_millis(5));
    }
    let calls = (FLOOD / 1000).to_string();
    // Without a pause: more than anybody can print.
    sh::output(Command::new(&tools.load).args([&calls, "1000", "0"]))?;
    let pid = child.id().to_string();
    sh::run(Command::new("kill").args(["-INT", &pid]))?;
    child.wait()?;
    let (mut printed, mut lost, mut counted) = (0u64, 0u64, 0u64);
    let file = BufReader::new(std::fs::File::open(&out)?);
    let number = |line: &str, after: &str| -> u64 {
        let rest = line.split(after).nth(1).unwrap_or("");
        let digits: String = rest
            .chars()
            .skip_while(|c| !c.is_ascii_digit())
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse().unwrap_or(0)
    };
    for line in file.lines() {
        let line = line?;
        if line.contains("\"printf\"") {
            printed += 1;
        } else if line.contains("lost_events") {
            lost += number(&line, "\"events\"");
        } else if line.contains("\"@all\"") {
            counted = number(&line, "\"@all\"");
        }
    }
    std::fs::remove_file(&out)?;
    let sum = printed + lost;
    if sum != FLOOD || counted != FLOOD {
        bail!("{FLOOD} events: {printed} printed, {lost} lost, {counted} counted");
    }
    Ok(format!(
        "## A flood of records\n\n{FLOOD} calls without a pause, each with a `printf` of three fields: {printed} printed, {lost} counted as lost, together {sum}.\n"
    ))
}
