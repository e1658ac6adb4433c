//! The options of `probity trace`.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::commands::attach::seconds;
use crate::commands::run::EngineKind;
use crate::tracing::bpftrace;

/// Run a tracing script (bpftrace's language) in the kernel, or over a recording without root
#[derive(clap::Args)]
#[command(
    help_template = "{about-with-newline}\nUSAGE:\n{tab}{usage}\n\n{all-args}{after-help}",
    override_usage = "probity trace [OPTIONS] (-e TEXT | FILE) [ARG]...\n       probity trace -l [-v] [PATTERN]",
    after_help = "\
Examples:
  Count system calls by process for five seconds
    probity trace -e 'tracepoint:raw_syscalls:sys_enter { @[comm] = count(); }' -d 5
  A script, with parameters ($1, $2 …)
    probity trace programs/scripts/open-files.bt
  Follow one command, and end when it does
    probity trace -c 'ls /etc' -e 'tracepoint:syscalls:sys_enter_openat /pid == cpid/ { @ = count(); }'
  Which probes there are, and what arguments they have
    probity trace -l 'tracepoint:sched:*'
    probity trace -l -v tracepoint:sched:sched_switch
  A flame graph: folded stacks, 99 samples a second
    probity trace -q programs/scripts/flame.bt -d 10 | flamegraph.pl > flame.svg
  Record what a script needs, then run it over the recording, anywhere, without root
    probity record -s programs/scripts/open-files.bt -o opens.data -d 10
    probity trace --replay opens.data programs/scripts/open-files.bt
  Over a recording of perf's
    perf record -a -k CLOCK_MONOTONIC -e 'sched:*' -o sched.data -- sleep 5
    probity trace --replay sched.data programs/scripts/off-cpu.bt
  Run the tests that stand in a script (`test:NAME { assert(…); }`), in process
    probity trace --test SCRIPT
  JSON for programs to read
    probity trace -f json programs/scripts/syscalls-by-process.bt -d 1

Ctrl-C ends a script in order: its `end` probes run and its maps are printed.
docs/language.md is the language's reference; docs/coming-from-bpftrace.md says what differs."
)]
pub struct Args {
    /// The script; `-` reads standard input
    #[arg(required_unless_present_any = ["expression", "list", "info"])]
    pub(super) file: Option<PathBuf>,
    /// Parameters of the script: $1, $2, …; after `--` also its options, --NAME or --NAME=VALUE
    #[arg(value_name = "ARG", trailing_var_arg = true)]
    pub(super) args: Vec<String>,
    /// The script's text; several are one script
    #[arg(short, value_name = "TEXT")]
    pub(super) expression: Vec<String>,
    /// Run over a recording made by perf record instead of in the kernel
    #[arg(long, value_name = "RECORDING", group = "in_process")]
    pub(super) replay: Option<PathBuf>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = FormatKind::Text)]
    pub(super) format: FormatKind,
    /// Write the output there instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Only events of this process
    #[arg(short, long, value_name = "PID")]
    pub(super) pid: Option<String>,
    /// Only events of processes in this control group (its directory) and those below it
    #[arg(long, value_name = "DIR", conflicts_with = "replay")]
    pub(super) cgroup: Option<PathBuf>,
    /// Only events of processes in the pid namespace of this process, or in that of a file such as /proc/PID/ns/pid
    #[arg(long, value_name = "PID|FILE", conflicts_with = "replay")]
    pub(super) pidns: Option<String>,
    /// Say at the end what the tracing cost: runs and time of each probe
    #[arg(long, conflicts_with = "replay")]
    pub(super) stats: bool,
    /// Only probes whose name fits this regular expression (and `begin` and `end`)
    #[arg(long, value_name = "REGEX")]
    pub(super) probe_filter: Option<String>,
    /// Say when a key is not in a map
    #[arg(short = 'k', long = "warnings", action = clap::ArgAction::Count)]
    pub(super) check_helpers: u8,
    /// For dw_ustack: read the tables of this process before anything is attached, not when it is first met
    #[arg(short = 'P', long, value_name = "PID", conflicts_with = "replay")]
    pub(super) dwarf_pid: Vec<u32>,
    /// Accepted for bpftrace's sake: the kernel switches static probes on in all processes
    #[arg(long, hide = true)]
    pub(super) usdt_file_activation: bool,
    /// Run this command, and end when it does; its process id is `cpid`
    #[arg(short, long = "cmd", value_name = "CMD", conflicts_with = "replay")]
    pub(super) command: Option<String>,
    /// Stop after so many seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds, conflicts_with = "replay")]
    pub(super) duration: Option<Duration>,
    /// Compile and verify, and go no further
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Write the compiled object there, and go no further
    #[arg(long = "emit", alias = "emit-elf", value_name = "FILE")]
    pub(super) emit_elf: Option<PathBuf>,
    /// Write the script with all that it imports there, as a command of its own, and go no further
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub(super) aot: Option<PathBuf>,
    /// Run the script's `test:` probes in this process, without the kernel; status 1 when one fails
    #[arg(long, group = "in_process", conflicts_with_all = ["command", "duration", "pid"])]
    pub(super) test: bool,
    /// Measure the script's `bench:` probes in this process
    #[arg(long, group = "in_process", conflicts_with_all = ["command", "duration", "pid"])]
    pub(super) bench: bool,
    /// List the probes that match the pattern given as FILE (`*` matches anything)
    #[arg(short, long)]
    pub(super) list: bool,
    /// With -l: the fields and arguments of each probe too
    #[arg(short, long)]
    pub(super) verbose: bool,
    /// What this kernel offers to scripts
    #[arg(long)]
    pub(super) info: bool,
    /// No warnings
    #[arg(long)]
    pub(super) no_warnings: bool,
    /// Read scripts and headers that are imported from there too
    #[arg(short = 'I', value_name = "DIR")]
    pub(super) include: Vec<PathBuf>,
    /// Read this header before the script, as if its first line included it
    #[arg(long = "include", value_name = "FILE")]
    pub(super) headers: Vec<String>,
    /// Print the script laid out anew, a statement a line, and go no further (-o writes it to a file)
    #[arg(long, conflicts_with_all = ["replay", "test", "bench", "aot", "emit_elf"])]
    pub(super) fmt: bool,
    /// bpftrace's name for --test, --bench, --fmt and --dry-run
    #[arg(long, value_name = "test|bench|format|codegen", conflicts_with_all = ["test", "bench", "fmt"])]
    pub(super) mode: Option<bpftrace::Mode>,
    /// Do without this of the kernel: kprobe_multi, uprobe_multi, kprobe_session
    #[arg(long, value_name = "FEATURE,…", value_delimiter = ',')]
    pub(super) no_feature: Vec<bpftrace::Feature>,
    /// The kernel functions that wildcards may name, one a line, instead of those that the kernel lists
    #[arg(long, value_name = "FILE")]
    pub(super) traceable_functions: Option<PathBuf>,
    /// Look for debug information of programs there before the system's own places
    #[arg(long, value_name = "DIR[:DIR…]")]
    pub(super) debuginfo: Vec<String>,
    /// Of bpftrace's compiler, which is not here
    #[arg(long, value_name = "FILE", hide = true)]
    pub(super) emit_llvm: Option<PathBuf>,
    /// The same
    #[arg(long, hide = true)]
    pub(super) verify_llvm_ir: bool,
    /// Accepted for bpftrace's sake: types come from the kernel's BTF always
    #[arg(short, long, hide = true)]
    pub(super) btf: bool,
    /// Accepted for bpftrace's sake: output is written line by line always
    #[arg(short = 'B', value_name = "MODE", hide = true)]
    pub(super) buffering: Option<String>,
    /// Let system() run commands
    #[arg(long = "unsafe")]
    pub(super) allow_commands: bool,
    /// No remarks
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Which engine replays and tests
    #[arg(long, value_enum, default_value_t = EngineKind::Jit, requires = "in_process")]
    pub(super) engine: EngineKind,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatKind {
    Text,
    Json,
}

impl Args {
    pub(super) fn goes_no_further(&self) -> bool {
        self.dry_run || self.emit_elf.is_some() || self.aot.is_some()
    }

    /// Options that belong to the script wherever it runs.
    pub(super) fn flags(&self) -> Vec<&'static str> {
        let mut flags = Vec::new();
        if self.allow_commands {
            flags.push("--unsafe");
        }
        if self.format == FormatKind::Json {
            flags.push("-fjson");
        }
        if self.quiet {
            flags.push("-q");
        }
        if self.check_helpers > 0 {
            flags.push("-k");
        }
        flags
    }
}
