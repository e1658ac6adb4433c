//! A proof, loaded: its maps and programs in the kernel, attached until dropped.

use std::os::fd::AsFd;

use aya::maps::{Map, ProgramArray};
use aya::programs::{Program, ProgramError};
use aya::util::{nr_cpus, online_cpus};
use aya::{Ebpf, EbpfLoader};
use probity_objfile::Initial;
use probity_verifier::Verified;

use crate::error::{chain, telling_line};
use crate::hooks::{self, Link};
use crate::{Attach, Error, MapHandle, Records, Refusal, normalise, sys};

const RINGBUF: u32 = 27;
const PERF_EVENT_ARRAY: u32 = 4;

/// Maps and programs of one object in the kernel.
pub struct Session {
    ebpf: Ebpf,
    /// Program names: the object's, and aya's.
    programs: Vec<(String, String)>,
    /// Map names: the object's, and aya's.
    maps: Vec<(probity_objfile::Map, String)>,
    links: Vec<Link>,
}

impl Session {
    /// Creates the maps and loads every program of the proof.
    pub fn load(verified: &Verified) -> Result<Session, Error> {
        let normal = normalise::normalise(verified)?;
        // Types cost aya 25 to 60 ms for a whole kernel; nothing in our object needs them.
        let mut ebpf = EbpfLoader::new()
            .btf(None)
            .allow_unsupported_maps()
            .load(&normal.elf)
            .map_err(|e| object_error(&e))?;
        for (p, name) in verified.programs().iter().zip(&normal.programs) {
            let program = ebpf
                .program_mut(name)
                .ok_or_else(|| Error::NoProgram(p.name().into()))?;
            load(program).map_err(|e| refusal(p.name(), p.stats().processed, e))?;
        }
        let object = &verified.relocated().object;
        let programs: Vec<(String, String)> = verified
            .programs()
            .iter()
            .map(|p| p.name().to_string())
            .zip(normal.programs)
            .collect();
        let maps: Vec<_> = object
            .maps
            .iter()
            .zip(normal.maps)
            .filter_map(|(m, name)| Some((m.clone(), name?)))
            .collect();
        let mut session = Session {
            ebpf,
            programs,
            maps,
            links: Vec::new(),
        };
        session.fill_program_arrays()?;
        Ok(session)
    }

    /// The programs, by their names in the object.
    pub fn programs(&self) -> impl Iterator<Item = &str> {
        self.programs.iter().map(|(name, _)| name.as_str())
    }

    /// Attaches a program; it stays attached until the session is dropped.
    pub fn attach(&mut self, program: &str, to: &Attach) -> Result<(), Error> {
        let links = hooks::attach(program, self.program_mut(program)?, to)?;
        self.links.extend(links);
        Ok(())
    }

    /// Detaches everything; maps and programs stay.
    pub fn detach(&mut self) {
        drop_side_by_side(std::mem::take(&mut self.links));
    }

    /// How many attachments there are.
    pub fn attached(&self) -> usize {
        self.links.len()
    }

    /// Runs a raw tracepoint program once, with these arguments.
    pub fn run_raw_tracepoint(&mut self, program: &str, args: &[u64]) -> Result<u32, Error> {
        let ctx: Vec<u8> = args.iter().flat_map(|w| w.to_le_bytes()).collect();
        self.test_run(program, None, (!ctx.is_empty()).then_some(&ctx), None)
    }

    /// Runs a packet program once on `packet`; gives what it returned and the packet after.
    pub fn run_packet(&mut self, program: &str, packet: &[u8]) -> Result<(u32, Vec<u8>), Error> {
        // Room for what the program may put in front.
        let mut out = vec![0; packet.len() + 512];
        let ret = self.test_run(program, Some(packet), None, Some(&mut out))?;
        Ok((ret, out))
    }

    fn test_run(
        &mut self,
        name: &str,
        data: Option<&[u8]>,
        ctx: Option<&[u8]>,
        out: Option<&mut Vec<u8>>,
    ) -> Result<u32, Error> {
        let program = self.program_mut(name)?;
        let fd = program.fd().map_err(|e| Error::Object(chain(&e)))?;
        sys::test_run(fd.as_fd(), data, ctx, out).map_err(|source| Error::Io {
            what: "the kernel cannot run this program by itself",
            source,
        })
    }

    /// A map by its name in the object.
    pub fn map(&self, name: &str) -> Result<MapHandle, Error> {
        let (map, theirs) = self
            .maps
            .iter()
            .find(|(m, _)| m.name == name)
            .ok_or_else(|| Error::NoMap(name.into()))?;
        let aya = self
            .ebpf
            .map(theirs)
            .ok_or_else(|| Error::NoMap(name.into()))?;
        let fd = map_data(aya)
            .fd()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|source| Error::Map {
                map: name.into(),
                what: "cannot be opened again",
                source,
            })?;
        let cpus = nr_cpus().map_err(|(what, source)| Error::Map {
            map: format!("{name} ({what})"),
            what: "cannot count CPUs",
            source,
        })?;
        Ok(MapHandle::new(fd, map, cpus))
    }

    /// The object's maps that its programs use.
    pub fn maps(&self) -> impl Iterator<Item = &probity_objfile::Map> {
        self.maps.iter().map(|(m, _)| m)
    }

    /// Names of the maps that carry records.
    pub fn record_maps(&self) -> Vec<String> {
        let carries = |kind| kind == RINGBUF || kind == PERF_EVENT_ARRAY;
        self.maps
            .iter()
            .filter(|(m, _)| carries(m.kind))
            .map(|(m, _)| m.name.clone())
            .collect()
    }

    /// Starts reading the records of a ring buffer or perf event array. The map is then
    /// the reader's: it cannot be taken twice.
    pub fn records(&mut self, name: &str) -> Result<Records, Error> {
        let (map, theirs) = self
            .maps
            .iter()
            .find(|(m, _)| m.name == name)
            .ok_or_else(|| Error::NoMap(name.into()))?;
        let aya = self
            .ebpf
            .take_map(theirs)
            .ok_or_else(|| Error::NoMap(name.into()))?;
        if map.kind == RINGBUF {
            return Records::ring(aya);
        }
        let cpus = online_cpus().map_err(|(what, source)| Error::Map {
            map: format!("{name} ({what})"),
            what: "cannot list CPUs",
            source,
        })?;
        Records::perf(aya, &cpus)
    }

    fn program_mut(&mut self, name: &str) -> Result<&mut Program, Error> {
        let theirs = self
            .programs
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, t)| t.clone());
        theirs
            .and_then(|t| self.ebpf.program_mut(&t))
            .ok_or_else(|| Error::NoProgram(name.into()))
    }

    /// Static initialisers of program arrays, which aya does not know.
    fn fill_program_arrays(&mut self) -> Result<(), Error> {
        for (map, theirs) in self.maps.clone() {
            for (slot, initial) in &map.initial {
                let Initial::Program(name) = initial else {
                    continue;
                };
                let fd = self
                    .program_mut(name)?
                    .fd()
                    .map_err(|e| Error::Object(chain(&e)))?
                    .try_clone()
                    .map_err(|source| Error::Io {
                        what: "cannot duplicate a program's descriptor",
                        source,
                    })?;
                let aya = self
                    .ebpf
                    .map_mut(&theirs)
                    .ok_or_else(|| Error::NoMap(map.name.clone()))?;
                ProgramArray::try_from(aya)
                    .and_then(|mut array| array.set(*slot, &fd, 0))
                    .map_err(|e| Error::Object(chain(&e)))?;
            }
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.detach();
    }
}

/// Detaching waits for a grace period of the kernel, a probe at a time; side by side
/// hundreds of probes are gone in the time of one.
fn drop_side_by_side(links: Vec<Link>) {
    const SIDE_BY_SIDE: usize = 32;
    if links.len() < 2 {
        return;
    }
    let share = links.len().div_ceil(SIDE_BY_SIDE);
    let mut links = links.into_iter();
    std::thread::scope(|scope| {
        loop {
            let some: Vec<Link> = links.by_ref().take(share).collect();
            if some.is_empty() {
                break;
            }
            scope.spawn(move || drop(some));
        }
    });
}

fn load(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::KProbe(p) => p.load(),
        Program::UProbe(p) => p.load(),
        Program::TracePoint(p) => p.load(),
        Program::RawTracePoint(p) => p.load(),
        Program::PerfEvent(p) => p.load(),
        Program::SocketFilter(p) => p.load(),
        Program::Xdp(p) => p.load(),
        Program::SchedClassifier(p) => p.load(),
        Program::CgroupSkb(p) => p.load(),
        // `normalise` writes no other section.
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

fn refusal(program: &str, processed: usize, error: ProgramError) -> Error {
    let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    else {
        return Error::Object(format!("{program}: {}", chain(&error)));
    };
    let log = verifier_log.to_string();
    if io_error.raw_os_error() == Some(libc::EPERM) && log.trim().is_empty() && !privileged() {
        return Error::NoPrivilege;
    }
    Error::Refused(Box::new(Refusal {
        program: program.into(),
        our_processed: processed,
        errno: io_error.raw_os_error(),
        reason: io_error.to_string(),
        telling: telling_line(&log),
        log,
    }))
}

fn object_error(error: &aya::EbpfError) -> Error {
    let text = chain(error);
    if !privileged() && (text.contains("not permitted") || text.contains("denied")) {
        return Error::NoPrivilege;
    }
    Error::Object(text)
}

/// Effective user 0. Capabilities alone may do too: then nothing fails and nobody asks.
fn privileged() -> bool {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

fn map_data(map: &Map) -> &aya::maps::MapData {
    match map {
        Map::Array(d)
        | Map::ArrayOfMaps(d)
        | Map::BloomFilter(d)
        | Map::CgroupArray(d)
        | Map::CgroupStorage(d)
        | Map::CgrpStorage(d)
        | Map::CpuMap(d)
        | Map::DevMap(d)
        | Map::DevMapHash(d)
        | Map::HashMap(d)
        | Map::HashOfMaps(d)
        | Map::InodeStorage(d)
        | Map::LpmTrie(d)
        | Map::LruHashMap(d)
        | Map::PerCpuArray(d)
        | Map::PerCpuCgroupStorage(d)
        | Map::PerCpuHashMap(d)
        | Map::PerCpuLruHashMap(d)
        | Map::PerfEventArray(d)
        | Map::ProgramArray(d)
        | Map::Queue(d)
        | Map::ReusePortSockArray(d)
        | Map::RingBuf(d)
        | Map::SockHash(d)
        | Map::SockMap(d)
        | Map::SkStorage(d)
        | Map::Stack(d)
        | Map::StackTraceMap(d)
        | Map::Unsupported(d)
        | Map::XskMap(d) => d,
    }
}
