//! One program, ready to load → what the kernel says of it.

use probity_isa::RawInsn;
use probity_objfile::ProgType;

use super::Verdict;
use super::attach::Attach;
use super::sys::{self, PROG_LOAD, ProgLoad};
use super::types::{FuncInfo, LineInfo};

const F_STRICT_ALIGNMENT: u32 = 1;
const F_SLEEPABLE: u32 = 1 << 4;
const F_XDP_HAS_FRAGS: u32 = 1 << 5;
/// Statistics and errors, no trace.
pub(super) const LOG_STATS: u32 = 4;
/// Each instruction of the path that fails.
const LOG_PATH: u32 = 1;
/// The kernel keeps the end of a log that is longer.
const LOG_BYTES: usize = 1 << 17;
/// In the kernel only.
const ENOTSUPP: i32 = 524;

/// What a program is loaded with.
#[derive(Default)]
pub struct Load<'a> {
    pub insns: &'a [RawInsn],
    pub kind: ProgType,
    /// What the kernel shall call it.
    pub name: &'a str,
    /// `expected_attach_type`.
    pub attach: u32,
    pub license: &'a str,
    pub sleepable: bool,
    pub frags: bool,
    pub strict_alignment: bool,
    pub kernel_version: u32,
    pub types: Option<u32>,
    pub funcs: &'a [FuncInfo],
    pub lines: &'a [LineInfo],
    pub target: Attach,
    /// The type of a function that may be added, with which [`Load::measured`] measures without the compiler.
    pub idle: Option<u32>,
}

/// The kernel's word.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Answer {
    /// `accept`, `reject`, `none`.
    pub verdict: String,
    /// The line that tells why.
    #[serde(default)]
    pub why: String,
    /// The last lines of the log with its trace, for rejected programs.
    #[serde(default)]
    pub log: Vec<String>,
    #[serde(default)]
    pub processed: u64,
    #[serde(default)]
    pub time_us: u64,
}

impl Answer {
    pub fn none(why: impl Into<String>) -> Answer {
        Answer {
            verdict: "none".into(),
            why: why.into(),
            log: Vec::new(),
            processed: 0,
            time_us: 0,
        }
    }
}

impl Load<'_> {
    /// The verdict with the trace, as [`Verdict`].
    pub fn verdict(&self) -> Verdict {
        match self.attempt(LOG_STATS) {
            Ok(_) => Verdict::Accept,
            Err((errno, log)) if is_no_verdict(errno, &log) => Verdict::NoVerdict(text(errno)),
            Err((errno, short)) => {
                let log = match self.attempt(LOG_PATH) {
                    Err((_, log)) if !log.is_empty() => log,
                    _ => short,
                };
                Verdict::Reject {
                    log: format!("{log}{}", text(errno)),
                }
            }
        }
    }

    /// The verdict with its reason and figures.
    pub fn answer(&self) -> Answer {
        let (verdict, log, errno) = match self.attempt(LOG_STATS) {
            Ok(log) => ("accept", log, 0),
            Err((errno, log)) if is_no_verdict(errno, &log) => ("none", log, errno),
            Err((_, log)) if telling(&log).is_none() && !self.kind_exists() => {
                return Answer::none(format!(
                    "the kernel takes no programs of kind {}",
                    self.kind.0
                ));
            }
            Err((errno, log)) => ("reject", log, errno),
        };
        let mut answer = Answer {
            verdict: verdict.into(),
            why: String::new(),
            log: Vec::new(),
            processed: figure(&log, "processed "),
            time_us: figure(&log, "verification time "),
        };
        if verdict == "accept" {
            return answer;
        }
        answer.why = telling(&log).map_or_else(|| text(errno), str::to_owned);
        if verdict == "reject" {
            // The trace of a program that took the kernel long is not worth as much again.
            let trace = match answer.time_us > 3_000_000 {
                true => None,
                false => self.attempt(LOG_PATH).err().map(|(_, log)| log),
            };
            let lines: Vec<&str> = trace.as_deref().unwrap_or(&log).lines().collect();
            let from = lines.len().saturating_sub(14);
            answer.log = lines[from..].iter().map(|l| cut(l)).collect();
            answer.log.push(text(errno));
        }
        answer
    }

    /// Is there such a kind of program at all? A kernel may be built without it.
    pub(super) fn kind_exists(&self) -> bool {
        let mov = RawInsn {
            opcode: 0xb7,
            ..RawInsn::default()
        };
        let exit = RawInsn {
            opcode: 0x95,
            ..RawInsn::default()
        };
        let least = Load {
            insns: &[mov, exit],
            kind: self.kind,
            attach: self.attach,
            license: "GPL",
            sleepable: self.sleepable,
            target: self.target,
            ..Load::default()
        };
        match least.attempt(LOG_STATS) {
            Ok(_) => true,
            Err((_, log)) => telling(&log).is_some(),
        }
    }

    /// `Err` holds the error number and the log.
    pub(super) fn attempt(&self, level: u32) -> Result<String, (i32, String)> {
        let bytes = probity_isa::to_bytes(self.insns);
        let license: Vec<u8> = self.license.bytes().chain([0]).collect();
        let mut log = vec![0u8; LOG_BYTES];
        let flag = |on: bool, bit: u32| if on { bit } else { 0 };
        let mut attr = ProgLoad {
            prog_type: self.kind.0,
            insn_cnt: self.insns.len() as u32,
            insns: bytes.as_ptr() as u64,
            license: license.as_ptr() as u64,
            log_level: level,
            log_size: log.len() as u32,
            log_buf: log.as_mut_ptr() as u64,
            kern_version: self.kernel_version,
            prog_flags: flag(self.sleepable, F_SLEEPABLE)
                | flag(self.frags, F_XDP_HAS_FRAGS)
                | flag(self.strict_alignment, F_STRICT_ALIGNMENT),
            expected_attach_type: self.target.attach_type.unwrap_or(self.attach),
            attach_btf_id: self.target.btf_id,
            attach_prog_fd: self.target.prog_fd,
            ..ProgLoad::default()
        };
        if let Some(fd) = self.types {
            attr.prog_btf_fd = fd;
            attr.func_info_rec_size = 8;
            attr.func_info = self.funcs.as_ptr() as u64;
            attr.func_info_cnt = self.funcs.len() as u32;
            attr.line_info_rec_size = 16;
            attr.line_info = self.lines.as_ptr() as u64;
            attr.line_info_cnt = self.lines.len() as u32;
        }
        let result = sys::patient(PROG_LOAD, &attr);
        let read = |log: &[u8]| {
            let end = log.iter().position(|&b| b == 0).unwrap_or(log.len());
            String::from_utf8_lossy(&log[..end]).into_owned()
        };
        match result {
            Ok(fd) => {
                drop(sys::owned(fd));
                Ok(read(&log))
            }
            Err(e) => match e.raw_os_error() {
                // The log did not fit: what the kernel says of the program it says without one.
                Some(libc::ENOSPC) if level != 0 => {
                    attr.log_level = 0;
                    attr.log_size = 0;
                    attr.log_buf = 0;
                    match sys::patient(PROG_LOAD, &attr) {
                        Ok(fd) => {
                            drop(sys::owned(fd));
                            Ok(read(&log))
                        }
                        Err(e) => Err((e.raw_os_error().unwrap_or(0), read(&log))),
                    }
                }
                errno => Err((errno.unwrap_or(0), read(&log))),
            },
        }
    }

    /// Loads the program to be a target of another.
    pub fn descriptor(&self) -> Result<std::os::fd::OwnedFd, String> {
        self.quietly().map_err(|e| e.to_string())
    }

    /// Loads the program to be attached; `Err` holds the error number and the log.
    pub(crate) fn loaded(&self) -> Result<std::os::fd::OwnedFd, (i32, String)> {
        self.quietly().map_err(|e| match self.attempt(LOG_PATH) {
            Err(said) => said,
            Ok(_) => (e.raw_os_error().unwrap_or(0), String::new()),
        })
    }

    fn quietly(&self) -> std::io::Result<std::os::fd::OwnedFd> {
        let bytes = probity_isa::to_bytes(self.insns);
        let license: Vec<u8> = self.license.bytes().chain([0]).collect();
        let mut attr = ProgLoad {
            prog_type: self.kind.0,
            insn_cnt: self.insns.len() as u32,
            insns: bytes.as_ptr() as u64,
            license: license.as_ptr() as u64,
            kern_version: self.kernel_version,
            prog_name: short_name(self.name),
            prog_flags: if self.sleepable { F_SLEEPABLE } else { 0 }
                | if self.frags { F_XDP_HAS_FRAGS } else { 0 },
            expected_attach_type: self.target.attach_type.unwrap_or(self.attach),
            attach_btf_id: self.target.btf_id,
            attach_prog_fd: self.target.prog_fd,
            ..ProgLoad::default()
        };
        if let Some(fd) = self.types {
            attr.prog_btf_fd = fd;
            attr.func_info_rec_size = 8;
            attr.func_info = self.funcs.as_ptr() as u64;
            attr.func_info_cnt = self.funcs.len() as u32;
        }
        sys::patient(PROG_LOAD, &attr).map(sys::owned)
    }
}

/// The first 15 characters, as far as the kernel takes them.
pub(crate) fn short_name(name: &str) -> [u8; 16] {
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().take(15).zip(name.bytes()) {
        *to = match from {
            b if b.is_ascii_alphanumeric() => b,
            _ => b'_',
        };
    }
    short
}

/// Errors that are not about the program, where nothing is said of it.
pub(super) fn is_no_verdict(errno: i32, log: &str) -> bool {
    let about = [
        libc::EPERM,
        libc::ENOMEM,
        libc::EAGAIN,
        libc::EINTR,
        libc::ENOSYS,
        libc::EOPNOTSUPP,
        libc::ENODEV,
        ENOTSUPP,
    ];
    about.contains(&errno) && telling(log).is_none()
}

pub(crate) fn text(errno: i32) -> String {
    match errno {
        ENOTSUPP => "not supported (ENOTSUPP)".into(),
        _ => std::io::Error::from_raw_os_error(errno).to_string(),
    }
}

/// Figures that end every log.
fn is_figure(line: &str) -> bool {
    ["processed ", "verification time ", "stack depth "]
        .iter()
        .any(|s| line.starts_with(s))
}

/// The line of a log that tells why.
pub fn telling(log: &str) -> Option<&str> {
    log.lines()
        .rev()
        .map(str::trim_end)
        .find(|l| !l.is_empty() && !is_figure(l) && !l.contains("(os error"))
}

fn figure(log: &str, after: &str) -> u64 {
    log.lines()
        .rev()
        .find_map(|l| l.strip_prefix(after))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn cut(line: &str) -> String {
    line.chars().take(400).collect()
}
