//! `probity ext`: extensions that outlive the command, in the running kernel or in a running host.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Subcommand;
use probity_host::control::Request;
use serde_json::{Value, json};

use crate::extensions::dependencies::{self, Graph};
use crate::extensions::host::{Host, stem};
use crate::extensions::kernel::{Kernel, Place};
use crate::extensions::{Refused, ended, show};
use crate::package::Trusted;
use crate::{output, package};

/// Load, replace, unload and list extensions, of the running kernel or of a running host
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  probity ext load meter.tar                            into the running kernel, pinned under bpffs
  probity ext load filter.tar --interface eth0
  probity ext list
  probity ext info meter
  probity ext info meter --count 5                      what its programs take in five seconds
  probity ext deps
  probity ext replace meter meter-2.tar
  probity ext --socket /run/gateway.sock load limit.tar into a running host
  probity ext --socket /run/gateway.sock replace limit limit-2.tar --wait

Packages are judged by who signed them, verified here whoever that was, and held to what the
manifest asks for, the deployer grants (grants.toml in the directory of trust) and the host
allows. Dependencies are loaded first, from the package's directory or --path. An extension in the
kernel stays when the command ends, and `probity boot` loads it again after a start; what
interrupted commands left is completed or taken away by the next one.
Exit status: 0 done, 1 rejected or failed, 2 wrong usage; of a package: 3 UNSIGNED, 4 UNKNOWN_KEY,
5 BAD_SIGNATURE, 6 REVOKED, 7 EXPIRED, 8 ROLLBACK, 9 it uses what it does not ask for or is not
granted, 10 it is for another host or version of a hook, 11 dependencies are missing or others
depend on it; 12 not permitted.")]
pub struct Args {
    /// The control socket of a running host [default: the running kernel]
    #[arg(long, value_name = "PATH", env = "PROBITY_SOCKET", global = true)]
    socket: Option<PathBuf>,
    /// JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    place: Where,
    #[command(subcommand)]
    command: Command,
}

/// Where extensions of the kernel are, on disk and in bpffs.
#[derive(clap::Args)]
pub struct Where {
    #[command(flatten)]
    trusted: Trusted,
    /// Where programs, links and maps are pinned
    #[arg(
        long,
        value_name = "DIR",
        env = "PROBITY_BPFFS",
        default_value = "/sys/fs/bpf/probity",
        global = true
    )]
    bpffs: PathBuf,
}

impl Where {
    pub fn kernel(&self) -> Result<Kernel> {
        Kernel::open(self.trusted.store(), self.bpffs.clone())
    }
}

#[derive(Subcommand)]
enum Command {
    /// What is loaded
    List,
    /// One extension: what modinfo shows, and signer, grants, proved bounds, programs, maps, taint
    Info {
        /// As `list` has it
        name: String,
        /// In the kernel: have runs and their time counted for so many seconds first; hosts always count
        #[arg(long, value_name = "SECONDS")]
        count: Option<u32>,
    },
    /// What an extension depends on, as a tree; all without a name
    Deps {
        /// As `list` has it
        name: Option<String>,
    },
    /// Load a package; a host whose policy takes such takes an object too
    Load {
        /// A layout's directory, a .tar of it, or a .pkg; an object (ELF) for a host that takes such
        package: PathBuf,
        /// Of an object in a host [default: the file's name without its ending]
        #[arg(long)]
        name: Option<String>,
        /// In a host: extensions with lower ones are called first
        #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
        priority: i32,
        /// In the kernel: network interface for XDP and traffic control programs
        #[arg(short, long, value_name = "NAME")]
        interface: Option<String>,
        /// In the kernel: directory of a control group for cgroup programs
        #[arg(long, value_name = "DIR")]
        cgroup: Option<String>,
        /// Where packages are that it depends on [default: the package's directory]; may be given more than once
        #[arg(long, value_name = "DIR")]
        path: Vec<PathBuf>,
    },
    /// Put another version in the place of a loaded one, while it runs
    Replace {
        /// The extension that is there, as `list` has it
        name: String,
        /// Its next version: a layout's directory, a .tar of it, or a .pkg; an object (ELF) for a host that takes such
        package: PathBuf,
        /// In a host: extensions with lower ones are called first
        #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
        priority: i32,
        /// Maps that start anew; may be given more than once
        #[arg(long, value_name = "MAP")]
        fresh: Vec<String>,
        /// In a host: wait until the last call of the old one is over
        #[arg(long)]
        wait: bool,
    },
    /// Take an extension away; one that others depend on stays
    Unload {
        /// As `list` has it
        name: String,
        /// In a host: wait until the last call of it is over
        #[arg(long)]
        wait: bool,
    },
    /// Attach a disabled extension again
    Enable {
        /// As `list` has it
        name: String,
    },
    /// Detach an extension, but keep it with its maps; it is not loaded at start
    Disable {
        /// As `list` has it
        name: String,
    },
}

pub fn run(args: Args) -> Result<ExitCode> {
    ended(match args.socket {
        Some(socket) => in_host(Host { socket }, args.json, args.command),
        None => in_kernel(&args.place, args.json, args.command),
    })
}

/// Where packages are looked for that another depends on.
pub fn directories(package: &Path, given: Vec<PathBuf>) -> Vec<PathBuf> {
    if !given.is_empty() {
        return given;
    }
    let beside = match package.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    vec![beside.to_path_buf()]
}

fn print_deps(graph: &Graph, name: Option<&str>, json: bool) -> Result<()> {
    if let Some(name) = name.filter(|n| !graph.contains_key(*n)) {
        bail!("no extension `{name}` is loaded");
    }
    if json {
        return output::json(graph);
    }
    let used = |name: &String| graph.values().any(|below| below.contains_key(name));
    for root in graph.keys() {
        let wanted = name.map_or_else(|| !used(root), |n| n == root);
        if wanted {
            output::text(show::plain_lines(&dependencies::tree(graph, root)))?;
        }
    }
    Ok(())
}

fn print_taint(what: &str, tainted: &[String]) -> Result<()> {
    if !tainted.is_empty() {
        let by: Vec<String> = tainted.iter().map(|n| show::plain(n)).collect();
        output::line(format_args!("{what} is TAINTED by {}", by.join(", ")))?;
    }
    Ok(())
}

fn in_kernel(place: &Where, json: bool, command: Command) -> Result<ExitCode> {
    let mut kernel = place.kernel()?;
    match command {
        Command::List => {
            let all: Vec<Value> = kernel
                .records
                .values()
                .map(|r| show::short(&kernel, r))
                .collect();
            let tainted = kernel.installed.taint()?;
            if json {
                output::json(&json!({ "tainted": tainted, "extensions": all }))?;
            } else {
                print_taint("the kernel", &tainted)?;
                for e in &all {
                    output::text(show::line(e))?;
                }
            }
        }
        Command::Info { name, count } => {
            if let Some(seconds) = count {
                kernel.record(&name)?;
                let _measured = probity_loader::pinned::measure()?;
                std::thread::sleep(std::time::Duration::from_secs(seconds.into()));
            }
            let info = show::long(&kernel, kernel.record(&name)?)?;
            match json {
                true => output::json(&info)?,
                false => output::text(show::info(&info))?,
            }
        }
        Command::Deps { name } => {
            let graph: Graph = kernel
                .records
                .values()
                .map(|r| {
                    let below = r.dependencies.iter();
                    let below = below.map(|(n, range)| (n.clone(), range.to_string()));
                    (r.name.clone(), below.collect())
                })
                .collect();
            print_deps(&graph, name.as_deref(), json)?;
        }
        Command::Load {
            package: path,
            interface,
            cgroup,
            path: given,
            ..
        } => {
            let package = readable(&kernel, "load", &path)?;
            let loaded = kernel
                .records
                .values()
                .map(|r| (r.name.clone(), Some(r.version.clone())))
                .collect();
            let all = dependencies::order(package, &directories(&path, given), &loaded)?;
            let place = Place { interface, cgroup };
            for package in all {
                kernel.load(&package, &place)?;
                output::note(format_args!("loaded {}", package.manifest().title()));
            }
            if json {
                let name = stem(&path)?;
                let tainted = kernel.installed.taint()?;
                output::json(&json!({ "file": name, "tainted": tainted }))?;
            }
        }
        Command::Replace {
            name,
            package: path,
            fresh,
            ..
        } => {
            let package = readable(&kernel, "replace", &path)?;
            let own = &package.manifest().name;
            if *own != name {
                return Err(Refused::error(
                    format!("the package is named `{own}`, not `{name}`"),
                    2,
                ));
            }
            let done = kernel.replace(&package, &fresh)?;
            let title = package.manifest().title();
            match json {
                true => output::json(&json!({
                    "generation": done.generation,
                    "kept": done.kept,
                    "migrated": done.migrated,
                    "dropped": done.dropped,
                    "tainted": kernel.installed.taint()?,
                }))?,
                false => output::note(format_args!(
                    "{title}, generation {}; maps kept: {}{}",
                    done.generation,
                    done.kept.join(", "),
                    match done.migrated.is_empty() {
                        true => String::new(),
                        false => format!(
                            "; migrated, while nothing was attached: {}",
                            done.migrated.join(", ")
                        ),
                    }
                )),
            }
        }
        Command::Unload { name, .. } => kernel.unload(&name)?,
        Command::Enable { name } => kernel.enable(&name, true)?,
        Command::Disable { name } => kernel.enable(&name, false)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A package; one that cannot be read, because a byte of it is another, is written to the log.
fn readable(kernel: &Kernel, event: &str, path: &Path) -> Result<probity_bundle::Package> {
    package::read(path).map_err(|e| {
        let probity_store::Error::Package { .. } = &e else {
            return e.into();
        };
        let why = e.chain();
        let details = json!({ "file": path, "for": event, "why": why });
        match kernel.store.note(&kernel.lock, "refuse", details) {
            Ok(()) => Refused::error(why, probity_bundle::Verdict::BadSignature.exit_status()),
            Err(e) => e.into(),
        }
    })
}

fn in_host(host: Host, json: bool, command: Command) -> Result<ExitCode> {
    let (ask, bytes) = match command {
        Command::Deps { name } => {
            print_deps(&host.graph()?, name.as_deref(), json)?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Load {
            package,
            name,
            priority,
            path,
            interface: None,
            cgroup: None,
        } => {
            let directories = directories(&package, path);
            let answer = host.load(&package, name, priority, &directories)?;
            if json {
                output::json(&answer)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        Command::Load { .. } => {
            let why = "--interface and --cgroup are for the kernel, not for a host";
            return Err(Refused::error(why, 2));
        }
        Command::List => (Request::List, Vec::new()),
        Command::Info { name, .. } => (Request::Info { name }, Vec::new()),
        Command::Replace {
            name,
            package: path,
            priority,
            fresh,
            wait,
        } => {
            let bytes = match path.is_dir() {
                true => package::read(&path)?.to_bytes(),
                false => probity_store::read(&path)?,
            };
            let ask = Request::Replace {
                name,
                priority,
                bytes: bytes.len() as u64,
                fresh,
                wait,
            };
            (ask, bytes)
        }
        Command::Unload { name, wait } => (Request::Unload { name, wait }, Vec::new()),
        Command::Enable { name } => (Request::Enable { name }, Vec::new()),
        Command::Disable { name } => (Request::Disable { name }, Vec::new()),
    };
    let answer = host.ask(&ask, &bytes)?;
    match (json, &ask) {
        (false, Request::List) => {
            let tainted: Vec<String> =
                serde_json::from_value(answer["tainted"].clone()).unwrap_or_default();
            print_taint("the host", &tainted)?;
            for e in answer["extensions"].as_array().into_iter().flatten() {
                output::text(line(e))?;
            }
        }
        (false, Request::Info { .. }) => {
            output::text(line(&answer))?;
            output::text(show::info(&answer))?;
        }
        (false, Request::Replace { name, wait, .. }) => {
            let names = |key: &str| {
                let all = answer[key].as_array().into_iter().flatten();
                let all: Vec<&str> = all.filter_map(Value::as_str).collect();
                show::plain(&all.join(", "))
            };
            let mut told = format!("{name}, generation {}", answer["generation"]);
            for (key, title) in [
                ("kept", "maps kept"),
                ("migrated", "migrated"),
                ("dropped", "no more there"),
            ] {
                let names = names(key);
                if !names.is_empty() {
                    told += &format!("; {title}: {names}");
                }
            }
            output::note(told);
            tell_retired(*wait, &answer);
        }
        (false, Request::Unload { wait, .. }) => tell_retired(*wait, &answer),
        (false, _) => {}
        (true, _) => output::json(&answer)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The host waits for some seconds.
fn tell_retired(waited: bool, answer: &Value) {
    if waited && answer["retired"] == false {
        output::warning("calls of the old generation are still under way");
    }
}

/// One line an extension of a host.
fn line(e: &Value) -> String {
    let text = |of: &Value, key: &str| show::plain(of[key].as_str().unwrap_or("?"));
    let programs = || e["programs"].as_array().into_iter().flatten();
    let hooks: Vec<String> = programs().map(|p| text(p, "hook")).collect();
    let calls: u64 = programs().filter_map(|p| p["calls"].as_u64()).sum();
    let version = match e["version"].as_str() {
        Some(v) => format!("  {}", show::plain(v)),
        None => String::new(),
    };
    let who = match (e["tainted"].as_bool(), e["signer"]["name"].as_str()) {
        (Some(true), _) => "  UNSIGNED, tainted".to_owned(),
        (_, Some(signer)) => format!("  signed by {}", show::plain(signer)),
        _ => String::new(),
    };
    let state = match e["enabled"].as_bool() {
        Some(false) => "  disabled",
        _ => "",
    };
    format!(
        "{}{version}  generation {}  priority {}  {}  {calls} calls{who}{state}\n",
        text(e, "name"),
        e["generation"],
        e["priority"],
        hooks.join(", "),
    )
}
