//! `probity-packet-filter`: packets of a capture or an interface, past vendors' extensions → those that pass.

mod capture;
mod hooks;
mod raw;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use capture::{Captured, Reader, Writer};
use clap::Parser;
use hooks::Frame;
use probity_host::{Caller, Deployment};
use raw::Raw;
use signal_hook::consts::{SIGINT, SIGTERM};

/// Filters the packets of a capture or of a network interface with extensions of vendors
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  probity-packet-filter --read in.pcap --write out.pcap --load ports.o
  probity-packet-filter --interface eth0 --write seen.pcap --control /run/filter.sock
  probity-packet-filter --interface veth0 --forward veth1 --load ports.o   what passes goes on
  probity-packet-filter --header > packet-filter.h    what authors of extensions in C include

SIGTERM and SIGINT end it: what was written is whole."
)]
struct Args {
    /// A capture (pcap) to filter
    #[arg(long, value_name = "FILE", conflicts_with = "interface")]
    read: Option<PathBuf>,
    /// The interface whose incoming packets are filtered (root)
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// Where packets that pass are written to (pcap)
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// The interface that packets which pass are sent out of
    #[arg(
        long,
        value_name = "NAME",
        requires = "interface",
        conflicts_with = "read"
    )]
    forward: Option<String>,
    /// End after so many packets
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    deployment: Deployment,
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
    // One thread calls.
    let deployment = &args.deployment;
    let host = deployment.build(hooks::host().cpus(1))?;
    if let Some(text) = deployment.printed(&host) {
        print!("{text}");
        return Ok(());
    }
    for told in deployment.start(&host)? {
        eprintln!("{told}");
    }
    let over = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, over.clone())?;
    }
    let control = deployment.serve(&host)?;
    let source = match (&args.read, &args.interface) {
        (Some(path), _) => Source::File(Reader::open(path)?),
        (None, Some(name)) => Source::Interface(interface(name)?),
        (None, None) => bail!("no packets: give --read FILE, or --interface NAME"),
    };
    let link = match &source {
        Source::File(reader) => reader.link(),
        Source::Interface(_) => ETHERNET,
    };
    let mut filter = Filter {
        caller: host.hook("packet")?.caller(Frame::new(link)),
        written: args
            .write
            .as_deref()
            .map(|p| Writer::create(p, link))
            .transpose()?,
        forward: args.forward.as_deref().map(interface).transpose()?,
        seen: 0,
        passed: 0,
        unsent: 0,
    };
    let most = args.count.unwrap_or(u64::MAX);
    let more = |f: &Filter| f.seen < most && !over.load(Relaxed);
    match source {
        Source::File(mut reader) => reader.packets(|packet| {
            filter.packet(&packet)?;
            Ok(more(&filter))
        })?,
        Source::Interface(raw) => {
            if control.is_none() && deployment.load.is_empty() && deployment.image.is_none() {
                eprintln!("note: neither --load nor --control: every packet passes");
            }
            println!(
                "listening on {}",
                args.interface.as_deref().unwrap_or_default()
            );
            let mut buffer = vec![0; LONGEST];
            while more(&filter) {
                let Some((bytes, length)) = raw.receive(&mut buffer)? else {
                    continue;
                };
                let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                filter.packet(&Captured {
                    bytes,
                    length,
                    time: time.unwrap_or(Duration::ZERO),
                })?;
            }
        }
    }
    drop(control);
    if let Some(written) = filter.written.take() {
        written.finish()?;
    }
    let unsent = match filter.unsent {
        0 => String::new(),
        n => format!(", {n} of them could not be sent on"),
    };
    println!("{} packets, {} passed{unsent}", filter.seen, filter.passed);
    for e in host.extensions() {
        for p in e.programs {
            let verdicts: Vec<String> = p
                .counters
                .verdicts
                .iter()
                .map(|(v, n)| format!("{v}: {n}"))
                .collect();
            println!(
                "{}: {} calls; verdicts {}",
                e.name,
                p.counters.calls,
                verdicts.join(", ")
            );
        }
    }
    Ok(())
}

/// pcap's number for it.
const ETHERNET: u32 = 1;
/// Bytes that are taken of a packet at most.
const LONGEST: usize = 65_536;

enum Source {
    File(Reader),
    Interface(Raw),
}

fn interface(name: &str) -> Result<Raw> {
    Raw::open(name).with_context(|| format!("cannot open the interface `{name}`"))
}

struct Filter {
    caller: Caller<Frame>,
    written: Option<Writer>,
    forward: Option<Raw>,
    seen: u64,
    passed: u64,
    unsent: u64,
}

impl Filter {
    fn packet(&mut self, packet: &Captured<'_>) -> Result<()> {
        self.seen += 1;
        self.caller.length = packet.length;
        self.caller.time = u64::try_from(packet.time.as_nanos()).unwrap_or(u64::MAX);
        self.caller.mark = 0;
        // A packet that cannot be looked at does not pass.
        if self.caller.call_packet_read(packet.bytes).unwrap_or(0) == 0 {
            return Ok(());
        }
        self.passed += 1;
        if let Some(written) = &mut self.written {
            written.write(packet)?;
        }
        if let Some(forward) = &self.forward {
            // An interface that is down for a moment loses packets, as a wire would.
            self.unsent += u64::from(forward.send(packet.bytes).is_err());
        }
        Ok(())
    }
}
