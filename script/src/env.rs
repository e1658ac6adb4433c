//! What a script needs to know of the machine, given by whoever compiles it.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use probity_btf::Btf;

pub use crate::check::{CgroupFilter, NamespaceFilter};
use crate::formats::Format;

/// Everything that a compilation depends on besides the script.
pub struct Environment<'a> {
    pub tracepoints: &'a dyn TracepointFormats,
    pub functions: &'a dyn Functions,
    /// The kernel's types.
    pub types: Option<Arc<Btf>>,
    /// Or where they come from once something asks for them: most scripts do not.
    pub later_types: Option<LaterTypes<'a>>,
    /// `$1`, `$2` …
    pub positional: Vec<String>,
    /// Only events of this process count.
    pub pid_filter: Option<u32>,
    /// Device and inode of the namespace that this process counts processes in.
    pub pid_namespace: Option<(u64, u64)>,
    /// Only events of processes in this control group count.
    pub cgroup_filter: Option<CgroupFilter>,
    /// Only events of processes of this namespace count.
    pub namespace_filter: Option<NamespaceFilter>,
    /// The process started for the script: `cpid`.
    pub cpid: Option<u32>,
    /// The program that it runs once it is let go.
    pub program: Option<String>,
    pub clock: Clock,
    /// Processors that per-CPU maps have cells for.
    pub cpus: u32,
    pub arch: Arch,
    /// Options of the script itself, after `--`: `--name=value`, or `--name` alone.
    pub named: Vec<(String, Option<String>)>,
    /// The script may change the machine: signals, memory of processes, commands.
    pub allow_unsafe: bool,
    /// Say when a helper fails: a key that is not there, an address that cannot be read.
    pub check_helpers: bool,
    /// Which probes are wanted, by their whole names; `begin` and `end` are always.
    pub wanted: Option<Arc<dyn Fn(&str) -> bool>>,
    /// Only probes that are run by hand are compiled: `begin`, `end`, `test`, `bench`.
    pub by_hand_only: bool,
    /// The tracepoints are those of a recording: what it lacks never happened.
    pub recorded: bool,
    /// Record events for a replay, those of this process left out.
    pub record: Option<u32>,
    /// The script runs in the kernel of this machine, whose processes can be asked: for the tables of
    /// `dw_ustack`, for names.
    pub live: bool,
    /// Whoever reads the records looks for them every few milliseconds and need not be woken.
    pub timed_draining: bool,
    /// From so many tracepoints on, their programs can be told to do nothing any more: detaching takes the
    /// kernel long.
    pub gate_from: Option<usize>,
    /// Which programs serve several attach points.
    pub sharing: Sharing,
    /// Config variables set from outside; they win over the script's own.
    pub config: Vec<(String, String)>,
}

/// Whether one program is attached to several places, and how. What is compiled for somewhere else has
/// a program for each attach point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    pub programs: bool,
    /// The kernel attaches one program to many of its functions.
    pub kernel_multi: bool,
    /// The same of places in a file.
    pub user_multi: bool,
}

/// What `nsecs` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// Since boot, suspension included.
    #[default]
    Boot,
    /// Since boot, suspension excluded: what recordings and `bpf_ktime_get_ns` have.
    Monotonic,
}

/// Where arguments and return values are in the registers of a probed function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    X86_64,
    Aarch64,
}

impl Arch {
    /// Of the machine this was built for.
    pub fn native() -> Arch {
        if cfg!(target_arch = "aarch64") {
            Arch::Aarch64
        } else {
            Arch::X86_64
        }
    }

    /// Offset in `struct pt_regs` (`user_pt_regs`) of argument `n`.
    pub fn argument(self, n: u32) -> Option<i32> {
        match self {
            Arch::X86_64 => [112, 104, 96, 88, 72, 64].get(n as usize).copied(),
            Arch::Aarch64 => (n < 8).then_some(n as i32 * 8),
        }
    }

    pub fn return_value(self) -> i32 {
        match self {
            Arch::X86_64 => 80,
            Arch::Aarch64 => 0,
        }
    }

    pub fn instruction_pointer(self) -> i32 {
        match self {
            Arch::X86_64 => 128,
            Arch::Aarch64 => 256,
        }
    }

    pub fn stack_pointer(self) -> i32 {
        match self {
            Arch::X86_64 => 152,
            Arch::Aarch64 => 248,
        }
    }

    /// Offset of a register by its usual name.
    pub fn register(self, name: &str) -> Option<i32> {
        const X86: [&str; 21] = [
            "r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx",
            "si", "di", "orig_ax", "ip", "cs", "flags", "sp", "ss",
        ];
        match self {
            Arch::X86_64 => X86.iter().position(|r| *r == name).map(|i| i as i32 * 8),
            Arch::Aarch64 => match name {
                "sp" => Some(248),
                "pc" => Some(256),
                "pstate" => Some(264),
                _ => {
                    let n: i32 = name
                        .strip_prefix('r')
                        .or(name.strip_prefix('x'))?
                        .parse()
                        .ok()?;
                    (0..31).contains(&n).then_some(n * 8)
                }
            },
        }
    }
}

/// The formats of tracepoints, from the running kernel or from a recording.
pub trait TracepointFormats {
    fn format(&self, category: &str, name: &str) -> Option<Arc<Format>>;
    /// Every (category, name), for wildcards and suggestions.
    fn names(&self) -> Vec<(String, String)>;
}

/// Names of functions, for wildcards and suggestions, and addresses.
pub trait Functions {
    /// Kernel functions that can be probed; empty when unknown.
    fn kernel(&self) -> Vec<String>;
    /// Module and name of each function of the loaded modules; empty when unknown.
    fn modules(&self) -> Vec<(String, String)> {
        Vec::new()
    }
    /// The functions of the programs that the kernel has loaded, by their programs' numbers; empty when unknown.
    fn programs(&self) -> Vec<(u32, String)> {
        Vec::new()
    }
    /// Raw tracepoints; empty when unknown.
    fn raw_tracepoints(&self) -> Vec<String> {
        Vec::new()
    }
    /// Functions of an executable or library; empty when unknown.
    fn user(&self, path: &str) -> Vec<String>;
    /// The names of C++ and Rust that symbols of an executable stand for, where they stand for some.
    fn readable(&self, _path: &str) -> Vec<(String, String)> {
        Vec::new()
    }
    /// The file that a name such as `libc` or `bash` means; `None` when there is no such file.
    fn resolve(&self, path: &str) -> Option<String>;
    /// The files that a path with wildcards means; `*` alone: those that processes run, or this one.
    fn files(&self, _pattern: &str, _pid: Option<u32>) -> Vec<String> {
        Vec::new()
    }
    /// Static probes of an executable or library.
    fn usdt(&self, _path: &str) -> Vec<UsdtSite> {
        Vec::new()
    }
    /// Address of a kernel symbol, for `kaddr`.
    fn kernel_address(&self, _name: &str) -> Option<u64> {
        None
    }
    /// Address of a symbol of an executable, for `uaddr`.
    fn user_address(&self, _path: &str, _name: &str) -> Option<u64> {
        None
    }
    /// What debug information says of a function of an executable.
    fn user_function(&self, _path: &str, _symbol: &str) -> Option<crate::UserFunction> {
        None
    }
    /// Addresses of a source line of an executable; `None` without debug information.
    fn source_line(&self, _path: &str, _source: &str, _line: u64) -> Option<Vec<u64>> {
        None
    }
    /// Whether programs of a kind (`enum bpf_prog_type`) may call a function of the kernel's that is
    /// there for programs.
    fn may_call(&self, _kfunc: &str, _program: u32) -> bool {
        false
    }
    /// Id of a cgroup by its path, for `cgroupid`.
    fn cgroup_id(&self, _path: &str) -> Option<u64> {
        None
    }
}

/// One place in a file that a static probe is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsdtSite {
    pub provider: String,
    pub name: String,
    /// From the file's start.
    pub offset: u64,
    /// A counter that is not zero while somebody traces, from the file's start.
    pub semaphore: Option<u64>,
    /// `8@%rdi -4@-20(%rbp)`.
    pub args: String,
}

/// No functions are known: names are taken as written, wildcards match nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFunctions;

impl Functions for NoFunctions {
    fn kernel(&self) -> Vec<String> {
        Vec::new()
    }

    fn user(&self, _path: &str) -> Vec<String> {
        Vec::new()
    }

    fn resolve(&self, path: &str) -> Option<String> {
        Some(path.to_owned())
    }
}

/// Formats held in memory.
#[derive(Clone, Debug, Default)]
pub struct FormatTable {
    formats: BTreeMap<(String, String), Arc<Format>>,
}

impl FormatTable {
    pub fn new() -> FormatTable {
        FormatTable::default()
    }

    pub fn insert(&mut self, category: &str, format: Format) {
        self.formats
            .insert((category.to_owned(), format.name.clone()), Arc::new(format));
    }

    pub fn len(&self) -> usize {
        self.formats.len()
    }

    pub fn is_empty(&self) -> bool {
        self.formats.is_empty()
    }
}

impl TracepointFormats for FormatTable {
    fn format(&self, category: &str, name: &str) -> Option<Arc<Format>> {
        self.formats
            .get(&(category.to_owned(), name.to_owned()))
            .cloned()
    }

    fn names(&self) -> Vec<(String, String)> {
        self.formats.keys().cloned().collect()
    }
}

/// Types that are read when they are first needed.
pub struct LaterTypes<'a> {
    read: Box<dyn Fn() -> Option<Arc<Btf>> + 'a>,
    known: OnceCell<Option<Arc<Btf>>>,
}

impl<'a> LaterTypes<'a> {
    pub fn new(read: impl Fn() -> Option<Arc<Btf>> + 'a) -> LaterTypes<'a> {
        LaterTypes {
            read: Box::new(read),
            known: OnceCell::new(),
        }
    }

    fn get(&self) -> Option<&Arc<Btf>> {
        self.known.get_or_init(|| (self.read)()).as_ref()
    }

    /// Whether somebody asked.
    pub fn were_needed(&self) -> bool {
        self.known.get().is_some()
    }
}

impl<'a> Environment<'a> {
    /// A word behind the script: what looks like an option is one, the script's own; the rest is `$1`, `$2` …
    pub fn argument(&mut self, word: &str) {
        match word.strip_prefix("--") {
            Some(option) if !option.is_empty() => self.named.push(match option.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (option.to_owned(), None),
            }),
            _ => self.positional.push(word.to_owned()),
        }
    }

    /// The kernel's types, read now if they were not before.
    pub fn types(&self) -> Option<&Arc<Btf>> {
        self.types
            .as_ref()
            .or_else(|| self.later_types.as_ref()?.get())
    }

    /// Of a machine of which only these are known.
    pub fn new(
        tracepoints: &'a dyn TracepointFormats,
        functions: &'a dyn Functions,
    ) -> Environment<'a> {
        Environment {
            tracepoints,
            functions,
            types: None,
            later_types: None,
            positional: Vec::new(),
            named: Vec::new(),
            allow_unsafe: false,
            check_helpers: false,
            wanted: None,
            pid_namespace: None,
            by_hand_only: false,
            recorded: false,
            record: None,
            live: false,
            pid_filter: None,
            cgroup_filter: None,
            namespace_filter: None,
            cpid: None,
            program: None,
            clock: Clock::Boot,
            cpus: 1,
            arch: Arch::native(),
            timed_draining: false,
            gate_from: None,
            sharing: Sharing::default(),
            config: Vec::new(),
        }
    }
}
