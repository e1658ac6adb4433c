//! The bpf system call: maps and test runs of the running kernel, for the tests that hold our engines and maps beside Linux's.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use probity_objfile::{DataKind, Map};
use probity_verifier::VerifiedProgram;

const MAP_CREATE: i64 = 0;
const MAP_LOOKUP: i64 = 1;
const MAP_UPDATE: i64 = 2;
const MAP_DELETE: i64 = 3;
const MAP_NEXT_KEY: i64 = 4;
const PROG_LOAD: i64 = 5;
const OBJECT_GET: i64 = 7;
const TEST_RUN: i64 = 10;
const LOOKUP_AND_DELETE: i64 = 21;
const MAP_FREEZE: i64 = 22;

/// Raw tracepoints and system call programs: test runs take words of context, not a packet.
const RAW_TRACEPOINT: u32 = 17;
const SYSCALL: u32 = 31;
const SLEEPABLE: u32 = 1 << 4;

/// `union bpf_attr`, filled by offset.
struct Attr([u64; 18]);

impl Attr {
    fn new() -> Attr {
        Attr([0; 18])
    }
    fn u32(mut self, at: usize, v: u32) -> Attr {
        let word = &mut self.0[at / 8];
        let shift = at % 8 * 8;
        *word = *word & !(0xffff_ffff << shift) | u64::from(v) << shift;
        self
    }
    fn u64(mut self, at: usize, v: u64) -> Attr {
        self.0[at / 8] = v;
        self
    }
    fn get32(&self, at: usize) -> u32 {
        (self.0[at / 8] >> (at % 8 * 8)) as u32
    }
    fn call(&mut self, command: i64) -> io::Result<i64> {
        // SAFETY: every pointer put into the attributes outlives the call and has the size that the command expects.
        let r = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command,
                self.0.as_mut_ptr(),
                size_of_val(&self.0),
            )
        };
        if r < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(r)
        }
    }
    fn fd(&mut self, command: i64) -> io::Result<OwnedFd> {
        let fd = self.call(command)?;
        // SAFETY: the command gave a new descriptor.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }
}

/// A map in Linux.
pub struct Table {
    pub fd: OwnedFd,
    key: usize,
    value: usize,
}

/// `errno` of a refusal.
fn errno(e: &io::Error) -> i32 {
    e.raw_os_error().unwrap_or(0)
}

impl Table {
    pub fn new(m: &Map) -> io::Result<Table> {
        let mut attr = Attr::new()
            .u32(0, m.kind)
            .u32(4, m.key_size)
            .u32(8, m.value_size)
            .u32(12, m.max_entries)
            .u32(16, m.flags)
            .u64(64, m.map_extra);
        let inner = m.inner.as_deref().map(Table::new).transpose()?;
        if let Some(inner) = &inner {
            attr = attr.u32(20, inner.fd.as_raw_fd() as u32);
        }
        // The system counts a map's memory until it has really gone.
        let mut fd = attr.fd(MAP_CREATE);
        for _ in 0..50 {
            if !matches!(&fd, Err(e) if errno(e) == libc::ENOMEM) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
            fd = attr.fd(MAP_CREATE);
        }
        let cpus = if matches!(m.kind, 5 | 6 | 10 | 21) {
            possible_cpus()
        } else {
            1
        };
        let stride = if cpus > 1 || matches!(m.kind, 5 | 6 | 10 | 21) {
            m.value_size.next_multiple_of(8) as usize
        } else {
            m.value_size as usize
        };
        let table = Table {
            fd: fd?,
            key: m.key_size as usize,
            value: stride * cpus,
        };
        if let Some(data) = &m.data {
            let mut value = data.bytes.clone();
            value.resize(table.value, 0);
            let filled = table.update(&0u32.to_ne_bytes(), &value, 0);
            filled.map_err(io::Error::from_raw_os_error)?;
            if data.kind == DataKind::Rodata {
                table.attr().call(MAP_FREEZE)?;
            }
        }
        Ok(table)
    }

    /// The maps of an object, in its order.
    pub fn all(maps: &[Map]) -> io::Result<Vec<Table>> {
        maps.iter().map(Table::new).collect()
    }

    fn attr(&self) -> Attr {
        Attr::new().u32(0, self.fd.as_raw_fd() as u32)
    }

    /// Bytes that the system call takes for a value: those of all CPUs.
    pub fn value_size(&self) -> usize {
        self.value
    }

    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), i32> {
        assert!(key.len() == self.key && value.len() == self.value);
        let key = if key.is_empty() {
            0
        } else {
            key.as_ptr() as u64
        };
        let done = self
            .attr()
            .u64(8, key)
            .u64(16, value.as_ptr() as u64)
            .u64(24, flags)
            .call(MAP_UPDATE);
        done.map(drop).map_err(|e| errno(&e))
    }

    fn get(&self, command: i64, key: &[u8], fill: &[u8], flags: u64) -> Result<Vec<u8>, i32> {
        let mut value = vec![0u8; self.value];
        value[..fill.len()].copy_from_slice(fill);
        let key = if key.is_empty() {
            0
        } else {
            key.as_ptr() as u64
        };
        let done = self
            .attr()
            .u64(8, key)
            .u64(16, value.as_mut_ptr() as u64)
            .u64(24, flags)
            .call(command);
        done.map(|_| value).map_err(|e| errno(&e))
    }

    pub fn lookup(&self, key: &[u8], flags: u64) -> Result<Vec<u8>, i32> {
        self.get(MAP_LOOKUP, key, &[], flags)
    }

    /// A lookup that reads the value: of a bloom filter.
    pub fn contains(&self, value: &[u8]) -> Result<(), i32> {
        self.get(MAP_LOOKUP, &[], value, 0).map(drop)
    }

    pub fn take(&self, key: &[u8], flags: u64) -> Result<Vec<u8>, i32> {
        self.get(LOOKUP_AND_DELETE, key, &[], flags)
    }

    pub fn delete(&self, key: &[u8]) -> Result<(), i32> {
        let done = self.attr().u64(8, key.as_ptr() as u64).call(MAP_DELETE);
        done.map(drop).map_err(|e| errno(&e))
    }

    pub fn keys(&self) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = Vec::new();
        loop {
            let mut next = vec![0u8; self.key];
            let more = self
                .attr()
                .u64(8, all.last().map_or(0, |k| k.as_ptr() as u64))
                .u64(16, next.as_mut_ptr() as u64)
                .call(MAP_NEXT_KEY);
            if more.is_err() {
                all.sort();
                return all;
            }
            all.push(next);
        }
    }
}

/// A program in Linux.
pub struct Loaded {
    fd: OwnedFd,
    prog_type: u32,
}

impl Loaded {
    pub fn new(p: &VerifiedProgram, maps: &[Table]) -> Result<Loaded, String> {
        let fds: Vec<i32> = maps.iter().map(|m| m.fd.as_raw_fd()).collect();
        let insns = probity_isa::to_bytes(p.raw());
        let mut log = vec![0u8; 1 << 20];
        let mut attr = Attr::new()
            .u32(0, p.prog_type().0)
            .u32(4, p.raw().len() as u32)
            .u64(8, insns.as_ptr() as u64)
            .u64(16, c"GPL".as_ptr() as u64)
            .u32(24, 1)
            .u32(28, log.len() as u32)
            .u64(32, log.as_mut_ptr() as u64)
            .u64(120, fds.as_ptr() as u64);
        if p.prog_type().0 == SYSCALL {
            attr = attr.u32(44, SLEEPABLE);
        }
        let fd = attr.fd(PROG_LOAD).map_err(|e| {
            let text = String::from_utf8_lossy(&log);
            let text = text.trim_end_matches('\0');
            let tail: Vec<&str> = text.lines().rev().take(6).collect();
            format!("{e}: {tail:?}")
        })?;
        Ok(Loaded {
            fd,
            prog_type: p.prog_type().0,
        })
    }

    /// One that was loaded elsewhere.
    pub fn of(fd: OwnedFd, prog_type: u32) -> Loaded {
        Loaded { fd, prog_type }
    }

    /// A program of a packet's that was pinned.
    pub fn pinned(path: &std::path::Path) -> io::Result<Loaded> {
        use std::os::unix::ffi::OsStrExt;
        const TC: u32 = 3;
        let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
        let fd = Attr::new().u64(0, path.as_ptr() as u64).fd(OBJECT_GET)?;
        Ok(Loaded { fd, prog_type: TC })
    }

    /// The return value and the packet as it is afterwards; a raw tracepoint and a system call program take `words` instead of a packet.
    pub fn run(&self, words: &[u64], packet: &[u8]) -> io::Result<(u32, Vec<u8>)> {
        let mut out = vec![0u8; packet.len() + 512];
        let attr = Attr::new().u32(0, self.fd.as_raw_fd() as u32);
        let mut attr = if matches!(self.prog_type, RAW_TRACEPOINT | SYSCALL) {
            // A raw tracepoint is told a CPU.
            attr.u32(40, size_of_val(words) as u32)
                .u64(48, words.as_ptr() as u64)
                .u32(64, u32::from(self.prog_type == RAW_TRACEPOINT))
        } else {
            attr.u32(8, packet.len() as u32)
                .u32(12, out.len() as u32)
                .u64(16, packet.as_ptr() as u64)
                .u64(24, out.as_mut_ptr() as u64)
                .u32(32, 1)
        };
        attr.call(TEST_RUN)?;
        out.truncate(attr.get32(12) as usize);
        Ok((attr.get32(4), out))
    }
}

/// The consumer's side of a ring buffer.
pub struct Ring {
    consumer: *mut u64,
    producer: *const u64,
    size: usize,
}

const PAGE: usize = 4096;

impl Ring {
    pub fn of(table: &Table, size: usize) -> io::Result<Ring> {
        let map = |len, prot, offset| {
            // SAFETY: a new mapping of the map's memory, at a place of the kernel's choice.
            let p = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    len,
                    prot,
                    libc::MAP_SHARED,
                    table.fd.as_raw_fd(),
                    offset,
                )
            };
            if p == libc::MAP_FAILED {
                Err(io::Error::last_os_error())
            } else {
                Ok(p)
            }
        };
        let consumer = map(PAGE, libc::PROT_READ | libc::PROT_WRITE, 0)?;
        let producer = map(PAGE + 2 * size, libc::PROT_READ, PAGE as libc::off_t)?;
        Ok(Ring {
            consumer: consumer.cast(),
            producer: producer.cast(),
            size,
        })
    }

    /// At most `most` finished records, oldest first.
    pub fn consume(&self, most: usize) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        // SAFETY: both mappings live as long as `self`; positions are below the producer's, so records lie in the mapping.
        unsafe {
            while out.len() < most {
                let at = self.consumer.read_volatile();
                if at >= self.producer.read_volatile() {
                    break;
                }
                let record = self
                    .producer
                    .cast::<u8>()
                    .add(PAGE + (at as usize & (self.size - 1)));
                let head = record.cast::<u32>().read_volatile();
                if head >> 31 != 0 {
                    break;
                }
                let len = (head & 0x3fff_ffff) as usize;
                if head >> 30 & 1 == 0 {
                    out.push(std::slice::from_raw_parts(record.add(8), len).to_vec());
                }
                self.consumer
                    .write_volatile(at + (len as u64 + 8).next_multiple_of(8));
            }
        }
        out
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: both are mappings of these lengths, made in `of`.
        unsafe {
            libc::munmap(self.consumer.cast(), PAGE);
            libc::munmap(self.producer.cast_mut().cast(), PAGE + 2 * self.size);
        }
    }
}

/// CPUs that a per-CPU value has parts for.
pub fn possible_cpus() -> usize {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = text.trim().rsplit(['-', ',']).next();
    last.and_then(|n| n.parse::<usize>().ok())
        .map_or(1, |n| n + 1)
}

/// Keeps this thread on the first CPU, so that per-CPU values of test runs are those of CPU 0.
pub fn stay_on_the_first_cpu() {
    // SAFETY: a zeroed set is an empty one; the call reads it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set);
    }
}

/// Whether maps and programs can be made here; a test that must not be skipped fails instead.
pub fn allowed() -> bool {
    let made = Attr::new()
        .u32(0, 2)
        .u32(4, 4)
        .u32(8, 8)
        .u32(12, 1)
        .fd(MAP_CREATE);
    match made {
        Ok(_) => true,
        Err(e) => {
            crate::skip(&format!("the kernel does not take maps: {e}"));
            false
        }
    }
}
