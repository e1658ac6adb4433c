//! Proves the abstract operators with an SMT solver: `domains/src/proofs.rs`, as compiled, for every input.
//!
//! Each obligation there goes through four stages: LLVM's code ([`ir`]), loops written out ([`unroll`]),
//! SMT-LIB ([`smt`]), and a solver, cvc5 or z3, which answers `unsat` (proved), `sat` with an input that refutes it, or
//! nothing within its time.
//!
//! **Invariant:** a proof is of the code that runs, compiled with optimisation; only the loop that repeats
//! reduction is proved by its one step.

mod ir;
mod smt;
mod unroll;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::sh;

/// What became of an obligation.
enum Answer {
    Proved,
    Refuted(String),
    TimedOut,
    Failed(String),
}

/// Proves the obligations whose names contain one of the words; all without words.
/// `--time SECONDS` for each, `--jobs N` at a time, `--keep DIR` for the scripts. Refutations and failures are errors; being late is not.
pub fn run(args: &[String]) -> Result<()> {
    let (mut time, mut jobs, mut words, mut keep) = (120u64, 1usize, Vec::new(), None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--time" => time = value()?.parse()?,
            "--jobs" => jobs = value()?.parse()?,
            "--keep" => keep = Some(std::path::PathBuf::from(value()?)),
            word => words.push(word.to_owned()),
        }
    }
    if !is_possible() {
        bail!("no solver is installed: `cargo xtask setup` installs Debian's");
    }
    let text = compile()?;
    let mut all: Vec<_> = ir::read(&text)
        .into_iter()
        .filter_map(|(name, function)| Some((width(&name)?, name, function)))
        .filter(|(_, name, _)| words.is_empty() || words.iter().any(|w| name.contains(w.as_str())))
        .collect();
    all.sort_by(|(_, a, _), (_, b, _)| a.cmp(b));
    if all.is_empty() {
        bail!("no obligation of that name");
    }
    let next = AtomicUsize::new(0);
    let prove_some = || {
        let mut counts = [0; 4];
        while let Some((bits, name, function)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let started = Instant::now();
            let answer = function
                .as_ref()
                .map_err(|error| format!("{error:#}"))
                .and_then(|function| {
                    // A loop goes over the bits, at most once for each.
                    let flat = unroll::unroll(function.clone(), *bits + 1)
                        .and_then(|flat| smt::script(&flat));
                    flat.map_err(|error| format!("{error:#}"))
                })
                .and_then(|script| {
                    if let Some(dir) = &keep {
                        let _ = std::fs::write(dir.join(format!("{name}.smt2")), &script);
                    }
                    solve(&script, time).map_err(|error| format!("{error:#}"))
                })
                .unwrap_or_else(Answer::Failed);
            let (place, text) = match &answer {
                Answer::Proved => (0, "proved".into()),
                Answer::TimedOut => (1, "timed out".into()),
                Answer::Refuted(input) => (2, format!("REFUTED by {input}")),
                Answer::Failed(why) => (3, format!("FAILED: {why}")),
            };
            counts[place] += 1;
            println!(
                "{name:28} {:7.1} s  {text}",
                started.elapsed().as_secs_f64()
            );
        }
        counts
    };
    let counts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(prove_some)).collect();
        threads.into_iter().fold([0; 4], |mut sum, thread| {
            let counts = thread.join().unwrap_or([0, 0, 0, 1]);
            sum.iter_mut().zip(counts).for_each(|(s, c)| *s += c);
            sum
        })
    });
    let [proved, late, refuted, failed] = counts;
    println!("{proved} proved, {late} timed out, {refuted} refuted, {failed} failed");
    if refuted + failed > 0 {
        bail!("not everything holds");
    }
    Ok(())
}

/// `add64_at_8` is an obligation at 8 bits.
fn width(name: &str) -> Option<usize> {
    name.rsplit_once("_at_")?.1.parse().ok()
}

/// LLVM's code for the crate `domains` with its proof obligations.
fn compile() -> Result<String> {
    let dir = sh::target_dir().join("prove");
    let mut cargo = sh::cargo();
    cargo
        .args([
            "rustc",
            "--quiet",
            "-p",
            "probity-domains",
            "--lib",
            "--release",
        ])
        .args(["--features", "proofs", "--target-dir"])
        .arg(&dir)
        .args([
            "--",
            "--emit=llvm-ir",
            "-Ccodegen-units=1",
            "-Cdebuginfo=0",
            "-Cpanic=abort",
        ])
        // No vectors, every call inlined, and values that leave a loop named where they do.
        .args([
            "-Cno-vectorize-loops",
            "-Cno-vectorize-slp",
            "-Cpasses=lcssa",
        ])
        .arg("-Cllvm-args=-inline-threshold=100000");
    sh::run(&mut cargo)?;
    let written = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path();
        let ours = path.file_name()?.to_str()?.starts_with("probity_domains-");
        let text = path.extension().is_some_and(|e| e == "ll");
        (ours && text).then(|| Some((path.metadata().ok()?.modified().ok()?, path)))?
    };
    let newest = std::fs::read_dir(dir.join("release/deps"))?
        .filter_map(written)
        .max();
    let (_, path) = newest.context("the compiler wrote no LLVM code")?;
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// The solvers that can be asked, the faster first: the program, and its options for so many seconds.
const SOLVERS: [(&str, fn(u64) -> Vec<String>); 2] = [
    ("cvc5", |time| {
        let options = "--lang=smt2 --produce-models --bitblast=eager --bv-sat-solver=cadical";
        let limit = format!("--tlimit={}", 1000 * time);
        options
            .split(' ')
            .map(str::to_owned)
            .chain([limit, "-".into()])
            .collect()
    }),
    ("z3", |time| {
        vec!["-in".into(), "-smt2".into(), format!("-T:{time}")]
    }),
];

/// Whether there is a solver at all.
pub fn is_possible() -> bool {
    SOLVERS.iter().any(|(program, _)| sh::has(program))
}

fn solve(script: &str, time: u64) -> Result<Answer> {
    let installed = SOLVERS.iter().find(|(program, _)| sh::has(program));
    let (program, options) = installed.context("neither cvc5 nor z3 is installed")?;
    let started = Instant::now();
    let mut solver = Command::new(program)
        .args(options(time))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context(*program)?;
    let words: Vec<String> = (0..32).map(|w| format!("w{w}")).collect();
    let ask = format!("{script}(get-value ({}))\n", words.join(" "));
    // A solver that is late already while it reads closes its end; its answer says so.
    let mut to = solver.stdin.take().context(*program)?;
    let _ = std::io::Write::write_all(&mut to, ask.as_bytes());
    drop(to);
    let output = solver.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let late = started.elapsed() + Duration::from_secs(2) >= Duration::from_secs(time);
    Ok(match text.lines().next().unwrap_or("") {
        "unsat" => Answer::Proved,
        "sat" => Answer::Refuted(input(&text)),
        "timeout" | "unknown" => Answer::TimedOut,
        _ if late => Answer::TimedOut,
        other => Answer::Failed(format!("{program} says `{other}`")),
    })
}

/// The words of a model, up to the last that is not 0.
fn input(model: &str) -> String {
    let number = |text: &str| {
        let text = text.split(')').next().unwrap_or("");
        match text.split_at_checked(1) {
            Some(("b", digits)) => u64::from_str_radix(digits, 2).ok(),
            Some(("x", digits)) => u64::from_str_radix(digits, 16).ok(),
            _ => None,
        }
    };
    let mut words: Vec<u64> = model.split('#').skip(1).filter_map(number).collect();
    while words.last() == Some(&0) {
        words.pop();
    }
    let shown: Vec<String> = words.iter().map(|word| format!("{word:#x}")).collect();
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lowest set bit of the first word, found by a loop over eight bits.
    fn lowest_bit(wrong: &str) -> String {
        format!(
            "define i1 @lowest_at_8(ptr %words) {{\n\
             start:\n\
             \x20 %word = load i64, ptr %words, align 8\n\
             \x20 %w = and i64 %word, 255\n\
             \x20 %none = icmp eq i64 %w, 0\n\
             \x20 br i1 %none, label %zero, label %loop\n\
             zero:                    ; preds = %start\n\
             \x20 ret i1 true\n\
             loop:                    ; preds = %next, %start\n\
             \x20 %bit = phi i64 [ 1, %start ], [ %twice, %next ]\n\
             \x20 %has = and i64 %bit, %w\n\
             \x20 %found = icmp ne i64 %has, 0\n\
             \x20 br i1 %found, label %exit, label %next\n\
             next:\n\
             \x20 %twice = shl nuw i64 %bit, 1\n\
             \x20 br label %loop\n\
             exit:\n\
             \x20 %last = phi i64 [ %bit, %loop ]\n\
             \x20 %minus = sub i64 0, %w\n\
             \x20 %lowest = {wrong} i64 %minus, %w\n\
             \x20 %same = icmp eq i64 %lowest, %last\n\
             \x20 ret i1 %same\n\
             }}\n"
        )
    }

    fn scripted(text: &str, rounds: usize) -> String {
        let function = ir::read(text).remove("lowest_at_8").expect("is there");
        let flat = unroll::unroll(function.expect("reads"), rounds).expect("unrolls");
        assert!(flat.blocks.len() > 2 * rounds);
        smt::script(&flat).expect("translates")
    }

    #[test]
    fn loops_are_written_out_and_what_is_wrong_is_refuted() {
        let right = scripted(&lowest_bit("and"), 8);
        let (short, wrong) = (
            scripted(&lowest_bit("and"), 7),
            scripted(&lowest_bit("or"), 8),
        );
        assert!(right.contains("bvand") && right.ends_with("(check-sat)\n"));
        if !is_possible() {
            println!("skipped: no solver");
            return;
        }
        let solved = |script: &str| solve(script, 60).expect("runs");
        assert!(matches!(solved(&right), Answer::Proved));
        // Too few rounds are no proof: the highest bit takes eight.
        assert!(matches!(solved(&short), Answer::Refuted(w) if w.ends_with("80")));
        assert!(matches!(solved(&wrong), Answer::Refuted(_)));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for line in [
            "%a = fadd double %x, %y",
            "store i64 0, ptr %p",
            "call void @effect()",
        ] {
            let text = format!("define i1 @f(ptr %p) {{\nstart:\n  {line}\n  ret i1 true\n}}\n");
            assert!(
                ir::read(&text).remove("f").expect("is there").is_err(),
                "{line}"
            );
        }
    }
}
