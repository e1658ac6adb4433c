//! Names for numbers, and the time, from this machine.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use blazesym::helper::read_elf_build_id;
use blazesym::symbolize::source::{Elf, Kernel, Process, Source};
use blazesym::symbolize::{Input, Symbolized, Symbolizer};
use blazesym::{Addr, Pid};
use probity_script::{Host, Symbol};

use super::unwind::Mapping;
use crate::recording::{MadeFor, MappedFile, Mappings, Recording};

/// This machine, live.
#[derive(Default)]
pub struct LiveHost {
    /// By process (0: the kernel) and address: looking one up costs milliseconds.
    known: Mutex<HashMap<(u32, u64), Option<Symbol>>>,
    /// What processes ran, by their `/proc/PID/maps`: they may have ended when their names are wanted.
    ran: Mutex<HashMap<u32, String>>,
}

impl LiveHost {
    /// Keeps what a process runs in memory, as `/proc/PID/maps` says it now.
    pub fn remember(&self, pid: u32, maps: &str) {
        let mut ran = self.ran.lock().unwrap_or_else(|e| e.into_inner());
        ran.insert(pid, maps.to_string());
    }

    /// From the file that was there, of a process that may be gone.
    fn remembered(&self, pid: u32, address: u64) -> Option<Symbol> {
        let ran = self.ran.lock().unwrap_or_else(|e| e.into_inner());
        let mut mappings = ran.get(&pid)?.lines().filter_map(Mapping::parse);
        let there = mappings.find(|m| (m.start..m.end).contains(&address))?;
        let offset = there.offset + (address - there.start);
        let source = Source::Elf(Elf::new(there.path));
        let symbol = named(&source, Input::FileOffset(offset))?;
        Some(Symbol {
            module: Some(there.path.to_string()),
            ..symbol
        })
    }

    fn symbol(&self, pid: u32, address: u64) -> Option<Symbol> {
        let mut known = self.known.lock().unwrap_or_else(|e| e.into_inner());
        known
            .entry((pid, address))
            .or_insert_with(|| symbolize(pid, address).or_else(|| self.remembered(pid, address)))
            .clone()
    }
}

fn symbolize(pid: u32, address: u64) -> Option<Symbol> {
    let source = match pid {
        0 => Source::Kernel(Kernel::default()),
        pid => Source::Process(Process::new(Pid::from(pid))),
    };
    named(&source, Input::AbsAddr(address as Addr))
}

fn named(source: &Source<'_>, input: Input<Addr>) -> Option<Symbol> {
    match Symbolizer::new().symbolize_single(source, input).ok()? {
        Symbolized::Sym(sym) => {
            let known = Symbol {
                name: sym.name.into_owned(),
                offset: sym.offset as u64,
                module: sym.module.map(|m| m.to_string_lossy().into_owned()),
            };
            let file = known.module.as_deref().or(match source {
                Source::Elf(elf) => elf.path.to_str(),
                _ => None,
            });
            // Of a function in several pieces debug information says no address that it begins at, and
            // the offset counts from the file's.
            match file.filter(|_| sym.addr == 0 && known.offset != 0) {
                Some(file) => Some(of_symbols(Path::new(file), &known)),
                None => Some(known),
            }
        }
        Symbolized::Unknown(_) => None,
    }
}

/// What the table of symbols says of an address that counts from the start of a file: that of the file itself,
/// or of the one with its debug information. Without either it stays open how far into the function it is.
fn of_symbols(file: &Path, known: &Symbol) -> Symbol {
    let input = Input::VirtOffset(known.offset as Addr);
    let mut found = None;
    for path in [Some(file.to_path_buf()), super::dwarf::apart(file, &[])]
        .into_iter()
        .flatten()
    {
        let mut elf = Elf::new(path);
        elf.debug_syms = false;
        let symbolizer = Symbolizer::new();
        let answer = symbolizer.symbolize_single(&Source::Elf(elf), input);
        let Ok(Symbolized::Sym(sym)) = answer else {
            continue;
        };
        // A stripped file's last symbol before the address is another function's, unless it is as long.
        let inside = sym.size.is_none_or(|size| sym.offset < size);
        let by_symbol = Symbol {
            name: sym.name.into_owned(),
            offset: sym.offset as u64,
            module: known.module.clone(),
        };
        if by_symbol.name == known.name {
            return by_symbol;
        }
        found = found.or(inside.then_some(by_symbol));
    }
    found.unwrap_or(Symbol {
        offset: 0,
        ..known.clone()
    })
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

    fn process_name(&self, pid: u32) -> Option<String> {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some(name.trim_end_matches('\n').to_string())
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

/// A recording: the names that stand in it, the time of its clock.
pub struct RecordedHost {
    /// Nanoseconds since 1970 when the recording's clock showed 0.
    clock_start: i128,
    /// The recording's clock at the sample that runs.
    pub now: std::sync::atomic::AtomicU64,
    /// By process (0: the kernel) and address.
    names: HashMap<(u32, u64), Symbol>,
    /// Of perf's own recordings: the files that processes had in memory.
    mappings: Arc<Mutex<Mappings>>,
    build_ids: HashMap<String, Vec<u8>>,
    written: Option<SystemTime>,
    /// Whether the kernel that runs here is that of the recording, once it was asked.
    same_kernel: OnceLock<bool>,
    release: Option<String>,
    same_files: Mutex<HashMap<String, bool>>,
    /// What was asked of files and the kernel: looking one up costs milliseconds.
    known: Mutex<HashMap<(u32, u64), Option<Symbol>>>,
}

impl RecordedHost {
    pub fn new(clock_start: i128, made_for: MadeFor, recording: &Recording) -> RecordedHost {
        let kernel = (0, made_for.kernel);
        let mut names = HashMap::new();
        for (process, addresses) in std::iter::once(kernel).chain(made_for.user) {
            for (address, name, offset, module) in addresses {
                let symbol = Symbol {
                    name,
                    offset,
                    module,
                };
                names.insert((process, address), symbol);
            }
        }
        RecordedHost {
            clock_start,
            now: 0.into(),
            names,
            mappings: recording.mappings.clone(),
            build_ids: recording.build_ids.clone(),
            written: recording.written,
            same_kernel: OnceLock::new(),
            release: recording.release.clone(),
            same_files: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// The kernel that runs is the one that was recorded, and its addresses are the same.
    fn is_this_kernel(&self) -> bool {
        *self.same_kernel.get_or_init(|| {
            let text = self.mappings.lock().unwrap_or_else(|e| e.into_inner());
            let Some(text) = text.kernel_text() else {
                return false;
            };
            let begins = |(address, _, name): &(u64, char, String)| {
                *address == text && (name == "_text" || name == "_stext")
            };
            self.release == crate::kernel::release()
                && super::machine::kallsyms().iter().any(begins)
        })
    }

    fn once(&self, pid: u32, address: u64, ask: impl FnOnce() -> Option<Symbol>) -> Option<Symbol> {
        let mut known = self.known.lock().unwrap_or_else(|e| e.into_inner());
        known.entry((pid, address)).or_insert_with(ask).clone()
    }

    /// Whether a file has the build id that was recorded, or is on the device where it was, unchanged since.
    fn is_the_same(&self, file: &MappedFile) -> bool {
        if let Some(id) = file.build_id.as_ref().or(self.build_ids.get(&file.path)) {
            let here = read_elf_build_id(&file.path).ok().flatten();
            return here.is_some_and(|here| !here.is_empty() && id.starts_with(&here));
        }
        let Ok(here) = std::fs::metadata(&file.path) else {
            return false;
        };
        let device = here.dev();
        let inode = (major(device), minor(device), here.ino());
        let before = matches!((here.modified(), self.written), (Ok(m), Some(w)) if m <= w);
        file.inode == Some(inode) && before
    }

    /// From the file that was there, where it is the same file here.
    fn in_file(&self, pid: u32, address: u64) -> Option<Symbol> {
        let found = self.mappings.lock().unwrap_or_else(|e| e.into_inner());
        let (file, offset) = found.find(pid, address)?;
        drop(found);
        let mut same = self.same_files.lock().unwrap_or_else(|e| e.into_inner());
        let is_same = same
            .entry(file.path.clone())
            .or_insert_with(|| self.is_the_same(&file));
        if !*is_same {
            return None;
        }
        drop(same);
        let source = Source::Elf(Elf::new(&file.path));
        let symbol = named(&source, Input::FileOffset(offset))?;
        Some(Symbol {
            module: Some(file.path.clone()),
            ..symbol
        })
    }
}

impl Host for RecordedHost {
    fn kernel_symbol(&self, address: u64) -> Option<Symbol> {
        let known = self.names.get(&(0, address)).cloned();
        let kernel = || named(&Source::Kernel(Kernel::default()), Input::AbsAddr(address));
        known.or_else(|| self.once(0, address, || self.is_this_kernel().then(kernel).flatten()))
    }

    fn user_symbol(&self, pid: u32, address: u64) -> Option<Symbol> {
        let known = self.names.get(&(pid, address)).cloned();
        known.or_else(|| self.once(pid, address, || self.in_file(pid, address)))
    }

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

/// The parts of a device's number, as `makedev(3)` puts them together.
fn major(device: u64) -> u32 {
    ((device >> 8) & 0xfff | (device >> 32) & !0xfff) as u32
}

fn minor(device: u64) -> u32 {
    (device & 0xff | (device >> 12) & !0xff) as u32
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
