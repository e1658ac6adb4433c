//! Names for numbers, and the time, from this machine.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use blazesym::symbolize::source::{Kernel, Process, Source};
use blazesym::symbolize::{Input, Symbolized, Symbolizer};
use blazesym::{Addr, Pid};
use probity_script::{Host, Symbol};

/// This machine, live.
#[derive(Default)]
pub struct LiveHost {
    /// By process (0: the kernel) and address: looking one up costs milliseconds.
    known: Mutex<HashMap<(u32, u64), Option<Symbol>>>,
}

impl LiveHost {
    fn symbol(&self, pid: u32, address: u64) -> Option<Symbol> {
        let mut known = self.known.lock().unwrap_or_else(|e| e.into_inner());
        known
            .entry((pid, address))
            .or_insert_with(|| symbolize(pid, address))
            .clone()
    }
}

fn symbolize(pid: u32, address: u64) -> Option<Symbol> {
    let source = match pid {
        0 => Source::Kernel(Kernel::default()),
        pid => Source::Process(Process::new(Pid::from(pid))),
    };
    let symbolizer = Symbolizer::new();
    match symbolizer
        .symbolize_single(&source, Input::AbsAddr(address as Addr))
        .ok()?
    {
        Symbolized::Sym(sym) => Some(Symbol {
            name: sym.name.into_owned(),
            offset: sym.offset as u64,
            module: sym.module.map(|m| m.to_string_lossy().into_owned()),
        }),
        Symbolized::Unknown(_) => None,
    }
}

impl Host for LiveHost {
    fn kernel_symbol(&self, address: u64) -> Option<Symbol> {
        self.symbol(0, address)
    }

    fn user_symbol(&self, pid: u32, address: u64) -> Option<Symbol> {
        if pid == 0 {
            None
        } else {
            self.symbol(pid, address)
        }
    }

    fn user_name(&self, uid: u32) -> Option<String> {
        user_name(uid)
    }

    fn cgroup_path(&self, id: u64) -> Option<String> {
        cgroup_path(id)
    }

    fn wall_clock(&self) -> i128 {
        now()
    }

    fn clock_start(&self) -> i128 {
        // Seconds since boot, suspension included, as the scripts' clock counts.
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
        let seconds: f64 = uptime
            .split_whitespace()
            .next()
            .and_then(|s| s.parse().ok())
            .unwrap_or(0.0);
        now() - (seconds * 1e9) as i128
    }

    fn utc_offset(&self, unix_seconds: i64) -> i32 {
        utc_offset(unix_seconds)
    }
}

/// A recording: no symbols, the time of its clock.
pub struct RecordedHost {
    /// Nanoseconds since 1970 when the recording's clock showed 0.
    pub clock_start: i128,
    /// The recording's clock at the sample that runs.
    pub now: std::sync::atomic::AtomicU64,
}

impl Host for RecordedHost {
    fn user_name(&self, uid: u32) -> Option<String> {
        user_name(uid)
    }

    fn wall_clock(&self) -> i128 {
        self.clock_start + i128::from(self.now.load(std::sync::atomic::Ordering::Relaxed))
    }

    fn clock_start(&self) -> i128 {
        self.clock_start
    }
}

fn now() -> i128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as i128)
}

/// The path of a control group (version 2), behind the name of its hierarchy: the id is the
/// inode of its directory.
fn cgroup_path(id: u64) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    let root = mounts.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let place = words.nth(1)?;
        (words.next()? == "cgroup2").then(|| std::path::PathBuf::from(place))
    })?;
    let inode = |path: &std::path::Path| {
        let found = std::fs::metadata(path).ok()?;
        Some(std::os::unix::fs::MetadataExt::ino(&found))
    };
    let mut open = vec![root.clone()];
    while let Some(path) = open.pop() {
        if inode(&path) == Some(id) {
            let rest = path.strip_prefix(&root).ok()?;
            return Some(format!("unified:/{}", rest.display()));
        }
        let below = std::fs::read_dir(&path).into_iter().flatten().flatten();
        open.extend(
            below
                .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
                .map(|e| e.path()),
        );
    }
    None
}

fn user_name(uid: u32) -> Option<String> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_string())
    })
}

fn utc_offset(unix_seconds: i64) -> i32 {
    let Ok(timestamp) = jiff::Timestamp::from_second(unix_seconds) else {
        return 0;
    };
    jiff::tz::TimeZone::system().to_offset(timestamp).seconds()
}
