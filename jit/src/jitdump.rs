//! Compiled programs → a file by which `perf` names them, with the lines of their sources.
//!
//! The format is that of Linux's `tools/perf/Documentation/jitdump-specification.txt`, version 1:
//! `perf record -k 1`, then `perf inject --jit`, then `perf report` or `perf annotate`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use probity_objfile::Line;

use crate::Jit;
use crate::flow::functions;
use crate::symbol::Symbol;

const MAGIC: u32 = 0x4a69_5444;
const LOAD: u32 = 0;
const DEBUG_INFO: u32 = 2;
const CLOSE: u32 = 3;
/// Bytes of the header before each record.
const PREFIX: usize = 16;

/// The file of this process.
pub struct JitDump {
    path: PathBuf,
    file: Mutex<Out>,
    /// `perf` finds the file by this mapping of it.
    marker: *mut libc::c_void,
    page: usize,
}

// SAFETY: the mapping is never accessed.
unsafe impl Send for JitDump {}
// SAFETY: as above.
unsafe impl Sync for JitDump {}

struct Out {
    file: File,
    index: u64,
}

/// Bytes of a record, in the machine's order.
#[derive(Default)]
struct Record(Vec<u8>);

impl Record {
    fn u32(&mut self, v: u32) -> &mut Record {
        self.0.extend_from_slice(&v.to_ne_bytes());
        self
    }

    fn u64(&mut self, v: u64) -> &mut Record {
        self.0.extend_from_slice(&v.to_ne_bytes());
        self
    }

    /// A text and its end.
    fn text(&mut self, text: &str) -> &mut Record {
        self.0.extend(text.bytes().filter(|b| *b != 0));
        self.0.push(0);
        self
    }
}

impl JitDump {
    /// Makes `jit-PID.dump` in a directory.
    pub fn create(directory: impl AsRef<Path>) -> io::Result<JitDump> {
        let path = directory
            .as_ref()
            .join(format!("jit-{}.dump", std::process::id()));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        let mut header = Record::default();
        header.u32(MAGIC).u32(1).u32(40).u32(machine()).u32(0);
        header.u32(std::process::id()).u64(now()).u64(0);
        file.write_all(&header.0)?;
        // SAFETY: no memory is touched.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
        // SAFETY: a new mapping, which replaces nothing.
        let marker = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                page,
                libc::PROT_READ | libc::PROT_EXEC,
                libc::MAP_PRIVATE,
                file.as_raw_fd(),
                0,
            )
        };
        if marker == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let file = Mutex::new(Out { file, index: 0 });
        Ok(JitDump {
            path,
            file,
            marker,
            page,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes every function of an engine: its lines, its name, its code.
    pub fn add(&self, jit: &Jit) -> io::Result<()> {
        let mut out = self.file.lock().unwrap_or_else(|e| e.into_inner());
        let instance = jit.instance();
        let object = &instance.verified().relocated().object;
        let names: Vec<Vec<String>> = instance
            .programs()
            .iter()
            .map(|p| {
                let all = functions(p.verified(), &[], &|_| 5).into_iter();
                all.map(|f| match f.name == p.name() {
                    true => f.name,
                    false => format!("{}::{}", p.name(), f.name),
                })
                .collect()
            })
            .collect();
        for f in &jit.linked.functions {
            let (program, function) = (f.program as usize, f.function as usize);
            let name = names.get(program).and_then(|n| n.get(function));
            let whole = instance.programs().get(program);
            let entry = whole.filter(|_| f.function == Symbol::ENTRY);
            let entry = entry.map(|p| format!("{}::entry", p.name()));
            let name = name.or(entry.as_ref()).map_or("?", String::as_str);
            let (address, code) = jit.linked.code(f);
            let index = instance.programs().get(program);
            let source = index.and_then(|p| object.programs.get(p.verified().index()));
            let lines = source.map_or(&[][..], |p| &p.lines);
            out.debug_info(address, &f.lines, lines)?;
            out.load(address, name, code)?;
        }
        out.file.flush()
    }
}

impl Out {
    fn record(&mut self, id: u32, content: &Record) -> io::Result<()> {
        let bytes = PREFIX + content.0.len();
        let bytes = u32::try_from(bytes).map_err(|_| io::Error::other("too large"))?;
        let mut all = Record::default();
        all.u32(id).u32(bytes).u64(now());
        all.0.extend_from_slice(&content.0);
        self.file.write_all(&all.0)
    }

    fn load(&mut self, address: u64, name: &str, code: &[u8]) -> io::Result<()> {
        let mut r = Record::default();
        // SAFETY: no memory is touched.
        let thread = unsafe { libc::syscall(libc::SYS_gettid) };
        r.u32(std::process::id()).u32(thread as u32);
        r.u64(address).u64(address).u64(code.len() as u64);
        r.u64(self.index).text(name);
        r.0.extend_from_slice(code);
        self.index += 1;
        self.record(LOAD, &r)
    }

    /// `at`: offsets into the function, and instructions; `lines`: ascending by instruction.
    fn debug_info(&mut self, address: u64, at: &[(u32, u32)], lines: &[Line]) -> io::Result<()> {
        let mut entries: Vec<(u32, &Line)> = Vec::new();
        for (offset, pc) in at {
            let n = lines.partition_point(|l| l.pc <= *pc as usize);
            let line = n.checked_sub(1).and_then(|n| lines.get(n));
            let last = entries.last().map(|e| (e.1.line, &e.1.file));
            if let Some(line) = line.filter(|l| last != Some((l.line, &l.file))) {
                entries.push((*offset, line));
            }
        }
        if entries.is_empty() {
            return Ok(());
        }
        let mut r = Record::default();
        r.u64(address).u64(entries.len() as u64);
        for (offset, line) in entries {
            r.u64(address + u64::from(offset)).u32(line.line).u32(0);
            r.text(&line.file);
        }
        self.record(DEBUG_INFO, &r)
    }
}

impl Drop for JitDump {
    fn drop(&mut self) {
        let out = self.file.get_mut().unwrap_or_else(|e| e.into_inner());
        let _ = out.record(CLOSE, &Record::default());
        // SAFETY: the mapping is ours and this long.
        unsafe { libc::munmap(self.marker, self.page) };
    }
}

impl std::fmt::Debug for JitDump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JitDump")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// `e_machine` of an ELF file.
fn machine() -> u32 {
    if cfg!(target_arch = "aarch64") {
        183
    } else {
        62
    }
}

/// Nanoseconds of the monotonic clock, as `perf record -k 1` counts.
fn now() -> u64 {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `t` is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

#[cfg(test)]
mod tests;
