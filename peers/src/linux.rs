//! A verified program → the running kernel's function, through `BPF_PROG_TEST_RUN`.
//!
//! Time is what the kernel itself says of a run, in whole nanoseconds. A run there has a frame around it (a loop, its
//! clock, the dispatch): what an empty program takes is that.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use probity_loader::kernel;
use probity_objfile::{DataKind, Initial, Map, ProgType};
use probity_verifier::VerifiedProgram;

use crate::{Answer, Function, Prepared, Subject, clock};

const MAP_UPDATE: i64 = 2;
const PROG_LOAD: i64 = 5;
const TEST_RUN: i64 = 10;
/// Kinds that a test run repeats.
const REPEATED: [ProgType; 5] = [
    ProgType::XDP,
    ProgType::SCHED_CLS,
    ProgType::SCHED_ACT,
    ProgType::SOCKET_FILTER,
    ProgType::CGROUP_SKB,
];
/// `BPF_MAP_TYPE_RINGBUF`.
const RING: u32 = 27;
const PAGE: usize = 4096;
/// Runs of a batch that fills a ring buffer, which is emptied between batches.
const WITH_RING: u64 = 256;

pub fn prepare(subject: &Subject) -> Prepared {
    let program = &subject.verified.programs()[subject.index];
    if !REPEATED.contains(&program.prog_type()) {
        return Err("Linux repeats test runs of packet programs only".into());
    }
    kernel::available().map_err(|e| format!("Linux takes no programs here: {e}"))?;
    let object = &subject.verified.relocated().object;
    let mut maps = Vec::new();
    for map in &object.maps {
        maps.push(make(map).map_err(|e| format!("Linux: map {}: {e}", map.name))?);
    }
    let license = object.license.clone().unwrap_or_default();
    let load = |p: &VerifiedProgram| {
        program_load(p, &maps, &license).map_err(|e| format!("Linux: {}: {e}", p.name()))
    };
    let start = clock::cpu_time();
    let loaded = load(program)?;
    let took = clock::cpu_time().saturating_sub(start);
    let mut others = BTreeMap::new();
    for (at, (key, initial)) in object
        .maps
        .iter()
        .enumerate()
        .flat_map(|(n, m)| m.initial.iter().map(move |i| (n, i)))
    {
        let Initial::Program(name) = initial else {
            continue;
        };
        let found = subject
            .verified
            .programs()
            .iter()
            .find(|p| p.name() == name);
        let fd = load(found.ok_or("a program that it calls is not there")?)?;
        let value = (fd.as_raw_fd() as u32).to_ne_bytes();
        update(&maps[at], &key.to_ne_bytes(), &value).map_err(|e| format!("Linux: {e}"))?;
        others.insert((at, *key), fd);
    }
    let mut rings = Vec::new();
    for (map, fd) in object
        .maps
        .iter()
        .zip(&maps)
        .filter(|(m, _)| m.kind == RING)
    {
        rings.push(Ring::of(fd).map_err(|e| format!("Linux: map {}: {e}", map.name))?);
    }
    let mut linux = Linux {
        program: loaded,
        input: subject.input.clone(),
        rings,
        _maps: maps,
        _others: others,
    };
    if let Some(setup) = subject.setup {
        let setup = program_load(&subject.verified.programs()[setup], &linux._maps, &license)
            .map_err(|e| format!("Linux: {e}"))?;
        let program = std::mem::replace(&mut linux.program, setup);
        linux.run(1, None).map_err(|e| format!("Linux: {e}"))?;
        linux.program = program;
    }
    Ok((Box::new(linux), took))
}

struct Linux {
    program: OwnedFd,
    input: Vec<u8>,
    rings: Vec<Ring>,
    _maps: Vec<OwnedFd>,
    _others: BTreeMap<(usize, u32), OwnedFd>,
}

impl Linux {
    /// Runs the program that often; the last run's result, nanoseconds a run as the kernel has them, and the packet as it
    /// was left.
    fn run(&mut self, repeat: u64, mut out: Option<&mut Vec<u8>>) -> io::Result<(u32, u32)> {
        let mut attr = Attr::new()
            .u32(0, self.program.as_raw_fd() as u32)
            .u32(8, self.input.len() as u32)
            .u64(16, self.input.as_ptr() as u64)
            .u32(32, repeat as u32);
        if let Some(out) = &mut out {
            attr = attr
                .u32(12, out.len() as u32)
                .u64(24, out.as_mut_ptr() as u64);
        }
        attr.call(TEST_RUN)?;
        if let Some(out) = out {
            out.truncate(attr.get32(12) as usize);
        }
        Ok((attr.get32(4), attr.get32(36)))
    }
}

impl Function for Linux {
    fn once(&mut self) -> Result<Answer, String> {
        let mut memory = vec![0; self.input.len() + 512];
        let ret = self.run(1, Some(&mut memory));
        let (ret, _) = ret.map_err(|e| format!("Linux: {e}"))?;
        self.rings.iter().for_each(Ring::empty);
        Ok(Answer { ret, memory })
    }

    fn batch(&mut self, runs: u64) -> Result<Duration, String> {
        let ran = self.run(runs, None).map_err(|e| format!("Linux: {e}"));
        self.rings.iter().for_each(Ring::empty);
        // The kernel's own clock: preparing a test run takes longer than a short batch.
        Ok(Duration::from_nanos(u64::from(ran?.1) * runs))
    }

    fn most(&self) -> u64 {
        match self.rings.is_empty() {
            true => 1 << 30,
            false => WITH_RING,
        }
    }
}

fn make(map: &Map) -> io::Result<OwnedFd> {
    let fd = kernel::create(map)?;
    if let Some(data) = &map.data
        && data.kind == DataKind::Bss
        && !data.bytes.iter().all(|b| *b == 0)
    {
        update(&fd, &0u32.to_ne_bytes(), &data.bytes)?;
    }
    Ok(fd)
}

fn update(map: &OwnedFd, key: &[u8], value: &[u8]) -> io::Result<()> {
    let mut attr = Attr::new()
        .u32(0, map.as_raw_fd() as u32)
        .u64(8, key.as_ptr() as u64)
        .u64(16, value.as_ptr() as u64);
    attr.call(MAP_UPDATE).map(|_| ())
}

fn program_load(p: &VerifiedProgram, maps: &[OwnedFd], license: &str) -> io::Result<OwnedFd> {
    let fds: Vec<i32> = maps.iter().map(AsRawFd::as_raw_fd).collect();
    let insns = probity_isa::to_bytes(p.raw());
    let license = std::ffi::CString::new(license).unwrap_or_default();
    let mut attr = Attr::new()
        .u32(0, p.prog_type().0)
        .u32(4, p.raw().len() as u32)
        .u64(8, insns.as_ptr() as u64)
        .u64(16, license.as_ptr() as u64)
        .u64(120, fds.as_ptr() as u64);
    let fd = attr.call(PROG_LOAD)?;
    // SAFETY: the command gave a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// `union bpf_attr`, filled by offset.
struct Attr([u64; 18]);

impl Attr {
    fn new() -> Attr {
        Attr([0; 18])
    }

    fn u32(mut self, at: usize, v: u32) -> Attr {
        let shift = at % 8 * 8;
        let word = &mut self.0[at / 8];
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
        let size = size_of_val(&self.0);
        // SAFETY: every pointer put into the attributes outlives the call and has the size that the command expects.
        let r = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), size) };
        match r < 0 {
            true => Err(io::Error::last_os_error()),
            false => Ok(r),
        }
    }
}

/// The positions of a ring buffer: the consumer's page, which is ours to write, and the producer's.
struct Ring {
    consumer: *mut u64,
    producer: *const u64,
}

impl Ring {
    fn of(fd: &OwnedFd) -> io::Result<Ring> {
        let map = |protection, offset| {
            // SAFETY: a new mapping of a page of the map, by the kernel's documented layout.
            let at = unsafe {
                let null = std::ptr::null_mut();
                libc::mmap(
                    null,
                    PAGE,
                    protection,
                    libc::MAP_SHARED,
                    fd.as_raw_fd(),
                    offset,
                )
            };
            match at == libc::MAP_FAILED {
                true => Err(io::Error::last_os_error()),
                false => Ok(at.cast::<u64>()),
            }
        };
        Ok(Ring {
            consumer: map(libc::PROT_READ | libc::PROT_WRITE, 0)?,
            producer: map(libc::PROT_READ, PAGE as libc::off_t)?,
        })
    }

    /// Takes all records without a look: nobody is writing.
    fn empty(&self) {
        // SAFETY: both pages are mapped until this is dropped, and begin with a position of 64 bits.
        unsafe {
            let position = self.producer.read_volatile();
            self.consumer.write_volatile(position);
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: these are the mappings that `of` made.
        unsafe {
            libc::munmap(self.consumer.cast(), PAGE);
            libc::munmap(self.producer.cast_mut().cast(), PAGE);
        }
    }
}
