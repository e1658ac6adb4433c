//! What a script needs to know of the machine, given by whoever compiles it.

use std::collections::BTreeMap;
use std::sync::Arc;

use probity_btf::Btf;

use crate::formats::Format;

/// Everything that a compilation depends on besides the script.
pub struct Environment<'a> {
    pub tracepoints: &'a dyn TracepointFormats,
    pub functions: &'a dyn Functions,
    /// The kernel's types.
    pub types: Option<Arc<Btf>>,
    /// `$1`, `$2` …
    pub positional: Vec<String>,
    /// Only events of this process count.
    pub pid_filter: Option<u32>,
    /// The process started for the script: `cpid`.
    pub cpid: Option<u32>,
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
    /// Config variables set from outside; they win over the script's own.
    pub config: Vec<(String, String)>,
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
    /// Raw tracepoints; empty when unknown.
    fn raw_tracepoints(&self) -> Vec<String> {
        Vec::new()
    }
    /// Functions of an executable or library; empty when unknown.
    fn user(&self, path: &str) -> Vec<String>;
    /// The file that a name such as `libc` or `bash` means; `None` when there is no such file.
    fn resolve(&self, path: &str) -> Option<String>;
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

impl<'a> Environment<'a> {
    /// Of a machine of which only these are known.
    pub fn new(
        tracepoints: &'a dyn TracepointFormats,
        functions: &'a dyn Functions,
    ) -> Environment<'a> {
        Environment {
            tracepoints,
            functions,
            types: None,
            positional: Vec::new(),
            named: Vec::new(),
            allow_unsafe: false,
            check_helpers: false,
            wanted: None,
            pid_filter: None,
            cpid: None,
            clock: Clock::Boot,
            cpus: 1,
            arch: Arch::native(),
            config: Vec::new(),
        }
    }
}
