//! The command line: what each subcommand is called, and where it lives.

mod asm;
mod attach;
mod bench;
mod boot;
mod btf;
mod completions;
mod dis;
mod dump;
mod ext;
mod helpers;
mod hook;
mod inspect;
mod key;
mod link;
mod listing;
mod log;
mod pack;
mod plugin;
mod record;
pub mod run;
mod sign;
mod trace;
mod unpack;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Extensions by proof: verify, run and attach eBPF programs.
#[derive(Parser)]
#[command(
    name = "probity",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "\
Examples:
  probity verify programs/*/*.o             is every program in them safe, and why not
  probity trace programs/scripts/syscalls-by-process.bt
                                            who makes system calls; Ctrl-C prints the table (root)
  probity trace --replay programs/recordings/syscalls.perf.data \\
      programs/scripts/syscalls-by-process.bt
                                            the same from a recording, anywhere, without root
  probity run programs/xdp-firewall/xdp-firewall.o --packets packets.pcap
                                            run a verified program in this process

Exit status: 0 done, 1 rejected or failed, 2 wrong usage; `inspect` and `unpack` have one for
each verdict on a package's signer besides."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Verify(verify::Args),
    Bench(bench::Args),
    Run(run::Args),
    Trace(trace::Args),
    Record(record::Args),
    Attach(attach::Args),
    Link(link::Args),
    Pack(pack::Args),
    Sign(sign::Args),
    Inspect(inspect::Args),
    Unpack(unpack::Args),
    Key(key::Args),
    Log(log::Args),
    Asm(asm::Args),
    Dis(dis::Args),
    Btf(btf::Args),
    Dump(dump::Args),
    Helpers(helpers::Args),
    Hook(hook::Args),
    Ext(ext::Args),
    Boot(boot::Args),
    Plugin(plugin::Args),
    Completions(completions::Args),
}

impl Cli {
    pub fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Verify(args) => verify::run(args),
            Command::Bench(args) => bench::run(args),
            Command::Run(args) => run::run(args),
            Command::Trace(args) => trace::run(args),
            Command::Record(args) => record::run(args),
            Command::Attach(args) => attach::run(args),
            Command::Link(args) => link::run(args),
            Command::Pack(args) => pack::run(args),
            Command::Sign(args) => sign::run(args),
            Command::Inspect(args) => inspect::run(args),
            Command::Unpack(args) => unpack::run(args),
            Command::Key(args) => key::run(args),
            Command::Log(args) => log::run(args),
            Command::Asm(args) => asm::run(args),
            Command::Dis(args) => dis::run(args),
            Command::Btf(args) => btf::run(args),
            Command::Dump(args) => dump::run(args),
            Command::Helpers(args) => helpers::run(args),
            Command::Hook(args) => hook::run(args),
            Command::Ext(args) => ext::run(args),
            Command::Boot(args) => boot::run(args),
            Command::Plugin(args) => plugin::run(args),
            Command::Completions(args) => completions::run(args),
        }
    }
}
