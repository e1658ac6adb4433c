//! `probity-gateway`: the command line → a gateway that serves until it is told to stop.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use probity_gateway::filter::Extensions;
use probity_gateway::hooks;
use probity_gateway::server::{Server, Settings, Source};
use probity_host::Deployment;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// An HTTP gateway whose requests and responses pass extensions of vendors
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  probity-gateway --upstream 127.0.0.1:9000 --control /run/gateway.sock
  probity-gateway --upstream 10.0.0.1:80 --upstream 10.0.0.2:80 --load canary.o
  probity-gateway --upstream 10.0.0.1:80 --trust T --state S --image gateway.img   what probity link --prelink made
  probity-gateway --header > gateway.h                what authors of extensions in C include
  probity ext --socket /run/gateway.sock load limit.o   while it serves

SIGTERM and SIGINT stop it: requests under way are answered."
)]
struct Args {
    /// Where clients connect; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// HOST:PORT that requests are passed on to; the first is number 0 to extensions
    #[arg(long, value_name = "HOST:PORT")]
    upstream: Vec<String>,
    /// Answer every request that passes with this text, without an upstream
    #[arg(long, value_name = "TEXT", conflicts_with = "upstream")]
    answer: Option<String>,
    #[command(flatten)]
    deployment: Deployment,
    /// Threads that serve [default: as many as there are CPUs]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Seconds that requests under way have when it stops
    #[arg(long, value_name = "S", default_value_t = 10)]
    grace: u64,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    let threads = match args.threads {
        Some(0) => bail!("--threads 0: one at least"),
        Some(n) => n,
        None => std::thread::available_parallelism().map_or(1, |n| n.get()),
    };
    let deployment = &args.deployment;
    let host = deployment.build(hooks::host().cpus(threads))?;
    if let Some(text) = deployment.printed(&host) {
        print!("{text}");
        return Ok(());
    }
    let source = match args.answer {
        Some(text) => Source::Answer(text.into()),
        None if args.upstream.is_empty() => {
            bail!("nothing to pass requests on to: give --upstream HOST:PORT, or --answer TEXT")
        }
        None if args.upstream.len() > hooks::UPSTREAMS => {
            bail!("{} upstreams at most", hooks::UPSTREAMS)
        }
        None => Source::Upstreams(args.upstream),
    };
    for told in deployment.start(&host)? {
        eprintln!("{told}");
    }
    // Before the first request, so that whoever sees it answered can be controlled.
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let control = deployment.serve(&host)?;
    let filters = (0..threads).map(|_| Extensions::new(&host));
    let filters = filters.collect::<Result<Vec<_>, _>>()?;
    let settings = Settings {
        listen: args.listen,
        source,
        grace: Duration::from_secs(args.grace),
    };
    let server = Server::start(&settings, filters)
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    println!("listening on {}", server.address());
    signals.forever().next();
    drop(control);
    let totals = server.stop()?;
    eprintln!(
        "stopped after {} requests, {} of them refused, {} without an upstream's answer",
        totals.requests, totals.refused, totals.failed
    );
    Ok(())
}
