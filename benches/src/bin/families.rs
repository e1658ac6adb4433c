//! What verdicts on generated families cost, size by size, with the exponents of their growth; Linux beside us.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use probity_platform::{Platform, Policy, Version};
use probity_tests::families::measure::{self, Growth, Point};
use probity_tests::families::{self, Family, clang};
use probity_tests::kernel::{self, Machine};

const USAGE: &str = "\
usage: families [OPTIONS] [NAME…]

Verifies the members of each generated family (those whose name contains a NAME), and prints what that took and
the exponent e with which it grows, as n^e.

  --linux       ask the running kernel too (root)
  --runs N      the fastest of so many runs counts (7)
  --sizes LIST  these sizes instead of the family's own: --sizes 10,100
  --largest N   no sizes above
  --json        one JSON value a line and family
  --brief       one line a family
  --list        names and what they are
  --write DIR   write each member to DIR as assembly, for other tools
  --known       print what falls short, as tests/families/known.toml has it
";

struct Settings {
    names: Vec<String>,
    machine: Option<Machine>,
    runs: usize,
    sizes: Option<Vec<u64>>,
    largest: u64,
    job: Job,
}

enum Job {
    Table,
    Brief,
    Json,
    List,
    Write(PathBuf),
    Known,
}

fn main() -> ExitCode {
    match settings().and_then(|s| work(&s)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(2)
        }
    }
}

fn settings() -> Result<Settings, String> {
    let mut args = std::env::args().skip(1);
    let mut s = Settings {
        names: Vec::new(),
        machine: None,
        runs: 7,
        sizes: None,
        largest: u64::MAX,
        job: Job::Table,
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} wants a value"));
        let number = |v: String| v.parse::<u64>().map_err(|_| format!("{v}: no number"));
        match arg.as_str() {
            "--linux" => {
                kernel::available().map_err(|why| format!("the kernel takes nothing: {why}"))?;
                kernel::raise_limits();
                s.machine = Some(Machine::here());
            }
            "--runs" => s.runs = number(value()?)? as usize,
            "--sizes" => {
                let list = value()?;
                let list = list.split(',').map(|v| number(v.trim().to_string()));
                s.sizes = Some(list.collect::<Result<_, _>>()?);
            }
            "--largest" => s.largest = number(value()?)?,
            "--json" => s.job = Job::Json,
            "--brief" => s.job = Job::Brief,
            "--list" => s.job = Job::List,
            "--write" => s.job = Job::Write(value()?.into()),
            "--known" => s.job = Job::Known,
            "-h" | "--help" => {
                print!("{USAGE}");
                std::process::exit(0);
            }
            _ if arg.starts_with('-') => return Err(format!("no option {arg}\n\n{USAGE}")),
            _ => s.names.push(arg),
        }
    }
    Ok(s)
}

fn work(s: &Settings) -> Result<(), String> {
    let wanted = |f: &&Family| s.names.is_empty() || s.names.iter().any(|n| f.name.contains(n));
    let chosen: Vec<&Family> = families::all().filter(wanted).collect();
    let object = clang::object();
    let mut groups = clang::groups(&object);
    groups.retain(|g| s.names.is_empty() || s.names.iter().any(|n| g.name.contains(n)));
    if chosen.is_empty() && groups.is_empty() {
        return Err("no such family; --list names them".into());
    }
    // The kernel's own types where it is asked too, so that both see the same.
    let platform = match s.machine.as_ref().and_then(|m| m.types.clone()) {
        Some(types) => Arc::new(Platform::linux(Version(6, 18), Some(types))),
        None => families::platform(),
    };
    let mut ratios = Vec::new();
    for family in chosen {
        let sizes = s.sizes.as_deref().unwrap_or(family.sizes);
        let sizes = sizes.iter().copied().filter(|n| *n <= s.largest);
        match &s.job {
            Job::List => println!("{:22} {:?}: {}", family.name, family.scales, family.what),
            Job::Write(dir) => {
                for n in sizes {
                    write(family, n, dir, &platform)
                        .map_err(|e| format!("{}: {e}", family.name))?;
                }
            }
            Job::Known => {
                let members = measure::members(family, &platform);
                if !measure::within_target(family, &members, &platform).1 {
                    let (_, k) = measure::falls_short(family, &members, &platform);
                    println!(
                        "[[known]]\nfamily = \"{}\"\nlimit = \"{}\"\naccepted = {}",
                        k.family, k.limit, k.accepted
                    );
                    if let Some(e) = k.exponent {
                        println!("exponent = {e:.1}");
                    }
                    println!();
                }
            }
            Job::Table | Job::Brief | Job::Json => {
                let points: Vec<Point> = sizes
                    .filter_map(|n| measured(family, n, &platform, s))
                    .collect();
                for p in points.iter().filter(|p| p.accepted() && p.processed > 0) {
                    if let Some(l) = p.linux.as_ref().filter(|l| l.verdict == "accept") {
                        ratios.push(l.time_us.max(1) as f64 / p.time_us);
                    }
                }
                let scales = format!("{:?}", family.scales).to_lowercase();
                print(family.name, family.what, &scales, &points, &s.job);
            }
        }
        std::io::stdout().flush().map_err(|e| e.to_string())?;
    }
    for group in groups {
        match &s.job {
            Job::Table | Job::Brief | Job::Json => {
                let points = group.points(&object, &platform, |_| Policy::default(), s.runs);
                print(&group.name, "what clang makes of it", "c", &points, &s.job);
            }
            Job::Known if !group.within_target(&object, &platform).1 => {
                let (name, accepted) = (&group.name, group.falls_short(&object, &platform).1);
                let limit = match name.contains("ladder") {
                    true => "paths",
                    false => "walks",
                };
                println!(
                    "[[known]]\nfamily = \"{name}\"\nlimit = \"{limit}\"\naccepted = {accepted}\n"
                );
            }
            Job::List => println!("{:22} C: benches/programs/families.bpf.c", group.name),
            Job::Known | Job::Write(_) => {}
        }
    }
    if !ratios.is_empty() && !matches!(s.job, Job::Json) {
        let mean = (ratios.iter().map(|r| r.ln()).sum::<f64>() / ratios.len() as f64).exp();
        println!(
            "{} members that both accept: {mean:.1} times Linux's speed (geometric mean)",
            ratios.len()
        );
    }
    Ok(())
}

fn measured(family: &Family, n: u64, platform: &Arc<Platform>, s: &Settings) -> Option<Point> {
    let mut point = measure::point(family, n, platform, &Policy::default(), s.runs)?;
    if let Some(machine) = &s.machine {
        match measure::linux(family, n, machine, s.runs) {
            Ok(linux) => point.linux = Some(linux),
            Err(why) => eprintln!("{} of {n}: Linux gives no verdict: {why}", family.name),
        }
    }
    Some(point)
}

fn print(name: &str, what: &str, scales: &str, points: &[Point], job: &Job) {
    let growth = measure::growth(points);
    match job {
        Job::Json => {
            let value = serde_json::json!({
                "family": name,
                "what": what,
                "scales": scales,
                "exponents": growth,
                "points": points,
            });
            println!("{value}");
        }
        Job::Brief => {
            let largest = points.iter().rfind(|p| p.accepted());
            let verdicts: String = points
                .iter()
                .map(|p| if p.accepted() { '+' } else { '-' })
                .collect();
            println!(
                "{:22} {verdicts:6} {} | largest accepted {:>9}: {:>8} processed, {:>11.1} us",
                name,
                exponents(growth),
                largest.map_or(0, |p| p.n),
                largest.map_or(0, |p| p.processed),
                largest.map_or(0.0, |p| p.time_us)
            );
        }
        _ => {
            println!("{}: {}; {}", name, what, exponents(growth));
            for p in points {
                let worst = p.worst_case_insns.map_or("-".into(), |w| w.to_string());
                print!(
                    "{:>11} {:>7} insns  {:12} {:>8} processed {:>6} states {:>11.1} us  longest {:>12} proved {:>12}",
                    p.n, p.insns, p.verdict, p.processed, p.states, p.time_us, p.longest, worst
                );
                if let Some(l) = &p.linux {
                    print!(
                        " | Linux {:6} {:>8} processed {:>9} us",
                        l.verdict, l.processed, l.time_us
                    );
                }
                println!();
            }
        }
    }
}

fn exponents(g: Growth) -> String {
    let show = |e: Option<f64>| e.map_or("    -".into(), |e| format!("{e:5.2}"));
    format!("processed n^{} time n^{}", show(g.processed), show(g.time))
}

fn write(
    family: &Family,
    n: u64,
    dir: &std::path::Path,
    platform: &Platform,
) -> Result<(), String> {
    let text = family.text(n, platform).ok_or("no types")?;
    let name = format!("{}-{n}.s", family.name.replace('/', "-"));
    std::fs::create_dir_all(dir).map_err(|e| e.to_string())?;
    std::fs::write(dir.join(name), text).map_err(|e| e.to_string())
}
