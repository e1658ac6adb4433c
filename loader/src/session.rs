//! A proof, loaded: its maps and programs in the kernel, attached until dropped.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use aya::maps::{Map, MapData};
use aya::programs::{Program, ProgramError};
use aya::util::{nr_cpus, online_cpus};
use aya::{Ebpf, EbpfLoader};
use probity_objfile::Initial;
use probity_verifier::{Verified, VerifiedProgram};

use crate::direct::{self, Direct, LoadedFunction, RunStats, behind, link, operations, stats};
use crate::error::{chain, telling_line};
use crate::hooks::{self, Link};
use crate::kernel::maps::Made;
use crate::kernel::types;
use crate::{Attach, Error, MapHandle, Records, Refusal, normalise, sys};

const RINGBUF: u32 = 27;
const PERF_EVENT_ARRAY: u32 = 4;
/// `MEMBARRIER_CMD_GLOBAL`.
const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;

/// Maps and programs of one object in the kernel.
pub struct Session {
    /// What aya loaded, if anything.
    ebpf: Option<Ebpf>,
    /// By their names in the object.
    programs: Vec<(String, Loaded)>,
    maps: Vec<(probity_objfile::Map, LoadedMap)>,
    links: Vec<Link>,
    /// Links of breakpoints, by their addresses.
    breakpoints: Vec<(u64, Vec<Link>)>,
    /// Closing one takes Linux long.
    tracepoints: Vec<OwnedFd>,
    /// While it is open the kernel counts runs.
    counting: Option<OwnedFd>,
}

enum Loaded {
    /// The name that it has for aya.
    Aya(String),
    Direct(OwnedFd),
}

enum LoadedMap {
    Aya(String),
    Direct(Made),
}

impl Session {
    /// Creates the maps and loads every program of the proof.
    pub fn load(verified: &Verified) -> Result<Session, Error> {
        Session::load_with(verified, &BTreeMap::new(), &BTreeMap::new())
    }

    /// The same, with functions of loaded programs that some of the proof's programs trace, by the name of what
    /// traces.
    pub fn load_onto(
        verified: &Verified,
        traced: &BTreeMap<String, LoadedFunction>,
    ) -> Result<Session, Error> {
        Session::load_with(verified, &BTreeMap::new(), traced)
    }

    /// The same, with maps that are pinned in the place of new ones, by their names in the object.
    pub(crate) fn load_with(
        verified: &Verified,
        kept: &BTreeMap<String, PathBuf>,
        traced: &BTreeMap<String, LoadedFunction>,
    ) -> Result<Session, Error> {
        let object = &verified.relocated().object;
        let (direct, ayas): (Vec<_>, Vec<_>) = verified
            .programs()
            .iter()
            .partition(|p| direct::is_needed(verified, p));
        let mut programs = Vec::new();
        let mut maps: Vec<(usize, LoadedMap)> = Vec::new();
        let mut ebpf = None;
        if !ayas.is_empty() {
            let wanted = |p: &VerifiedProgram| ayas.iter().any(|a| a.index() == p.index());
            let normal = normalise::normalise_some(verified, &wanted)?;
            let mut loader = EbpfLoader::new();
            loader.btf(None).allow_unsupported_maps();
            for (map, name) in object.maps.iter().zip(&normal.maps) {
                if let (Some(name), Some(path)) = (name, kept.get(&map.name)) {
                    loader.map_pin_path(name, path);
                }
            }
            let mut theirs = loader.load(&normal.elf).map_err(|e| object_error(&e))?;
            drop(loader);
            for (p, name) in ayas.iter().zip(normal.programs) {
                let program = theirs
                    .program_mut(&name)
                    .ok_or_else(|| Error::NoProgram(p.name().into()))?;
                load(program).map_err(|e| refusal(p.name(), p.stats().processed, e))?;
                programs.push((p.name().to_string(), Loaded::Aya(name)));
            }
            let named = normal.maps.into_iter().enumerate();
            maps.extend(named.filter_map(|(i, name)| Some((i, LoadedMap::Aya(name?)))));
            ebpf = Some(theirs);
        }
        if !direct.is_empty() {
            let mut theirs = BTreeMap::new();
            for (index, map) in &maps {
                let LoadedMap::Aya(name) = map else { continue };
                let map = ebpf.as_ref().and_then(|e| e.map(name));
                let map = map.ok_or_else(|| Error::NoMap(name.clone()))?;
                let fd = map_data(map).fd().as_fd().try_clone_to_owned();
                theirs.insert(*index, fd.map_err(|source| duplicate(name, source))?);
            }
            for (index, map) in object.maps.iter().enumerate() {
                if let (Some(path), false) = (kept.get(&map.name), theirs.contains_key(&index)) {
                    let fd = sys::get(path).map_err(|source| Error::Map {
                        map: map.name.clone(),
                        what: "cannot be opened where it is pinned",
                        source,
                    })?;
                    let same = fd.try_clone();
                    let same = same.map_err(|source| duplicate(&map.name, source))?;
                    theirs.insert(index, fd);
                    maps.push((index, LoadedMap::Direct(Made::before(same))));
                }
            }
            let mut loading = Direct::new(verified, theirs);
            for p in &direct {
                let fd = loading.load(p, traced.get(p.name()))?;
                programs.push((p.name().to_string(), Loaded::Direct(fd)));
            }
            maps.extend(
                loading
                    .into_maps()
                    .map(|(i, made)| (i, LoadedMap::Direct(made))),
            );
        }
        let maps = maps
            .into_iter()
            .filter_map(|(i, m)| Some((object.maps.get(i)?.clone(), m)))
            .collect();
        let session = Session {
            ebpf,
            programs,
            maps,
            links: Vec::new(),
            breakpoints: Vec::new(),
            tracepoints: Vec::new(),
            counting: None,
        };
        session.fill_program_arrays()?;
        Ok(session)
    }

    /// Pins every map and every program, by its name in the object.
    pub(crate) fn pin(
        &self,
        map: impl Fn(&str) -> PathBuf,
        program: impl Fn(&str) -> PathBuf,
    ) -> Result<(), Error> {
        let cannot = |source| Error::Io {
            what: "cannot pin below bpffs",
            source,
        };
        for (m, _) in &self.maps {
            sys::pin(&self.map(&m.name)?.fd, &map(&m.name)).map_err(cannot)?;
        }
        for (name, _) in &self.programs {
            sys::pin(self.descriptor(name)?, &program(name)).map_err(cannot)?;
        }
        Ok(())
    }

    /// The programs, by their names in the object.
    pub fn programs(&self) -> impl std::iter::Iterator<Item = &str> {
        self.programs.iter().map(|(name, _)| name.as_str())
    }

    /// Attaches a program; it stays attached until the session is dropped.
    pub fn attach(&mut self, program: &str, to: &Attach) -> Result<(), Error> {
        let direct = |(name, loaded): &(String, Loaded)| {
            name == program && matches!(loaded, Loaded::Direct(_))
        };
        if let (Attach::Tracepoint { category, name }, true) =
            (to, self.programs.iter().any(direct))
        {
            let event =
                hooks::attach_tracepoint(program, self.descriptor(program)?, category, name)?;
            self.tracepoints.push(event);
            return Ok(());
        }
        let links = if self.programs.iter().any(direct) {
            hooks::attach_descriptor(program, self.descriptor(program)?, to)?
        } else {
            hooks::attach(program, self.program_mut(program)?, to)?
        };
        match to {
            Attach::Breakpoint { address, .. } => self.breakpoints.push((*address, links)),
            _ => self.links.extend(links),
        }
        Ok(())
    }

    /// Registers a structure of operations of the object, whose members the proof's programs are, until the
    /// session is dropped.
    pub fn register(&mut self, verified: &Verified, name: &str) -> Result<(), Error> {
        let object = &verified.relocated().object;
        let failed = |why: String| Error::Attach {
            program: name.to_string(),
            target: "the kernel's operations".to_string(),
            why,
        };
        let ops = object.struct_ops.iter().find(|s| s.name == name);
        let ops = ops.ok_or_else(|| failed("the object has no such structure".into()))?;
        let own = object.btf.as_deref();
        let own = own.ok_or_else(|| failed("the object has no types".into()))?;
        let kernel = verified.platform().types.as_deref();
        let kernel = kernel.ok_or_else(|| failed("the kernel's types are not known".into()))?;
        let types = types::load(object).map_err(failed)?;
        let types = types.ok_or_else(|| failed("the kernel does not take its types".into()))?;
        let program = |name: &str| self.descriptor(name).ok().map(|fd| fd.as_raw_fd());
        let registered =
            operations::register(ops, (own, types.raw()), kernel, &program).map_err(failed)?;
        self.links.push(Box::new(registered));
        Ok(())
    }

    /// Detaches what is attached to breakpoints at this address.
    pub fn unwatch(&mut self, address: u64) {
        self.breakpoints.retain(|(at, _)| *at != address);
    }

    /// An iterator program, ready to walk.
    pub fn iterator(&self, program: &str) -> Result<Iterator, Error> {
        let link = link::iterator(self.descriptor(program)?).map_err(no_walk)?;
        Ok(Iterator(link))
    }

    /// From now on the kernel counts runs and their time, of every program there is.
    pub fn count_runs(&mut self) -> Result<(), Error> {
        let counting = stats::enable().map_err(|source| Error::Io {
            what: "the kernel does not count runs",
            source,
        })?;
        self.counting = Some(counting);
        Ok(())
    }

    /// What a program has cost and missed.
    pub fn run_stats(&self, program: &str) -> Result<RunStats, Error> {
        stats::of(self.descriptor(program)?).map_err(|source| Error::Io {
            what: "the kernel does not say what a program has cost",
            source,
        })
    }

    fn descriptor(&self, name: &str) -> Result<BorrowedFd<'_>, Error> {
        let found = self.programs.iter().find(|(n, _)| n == name);
        let missing = || Error::NoProgram(name.into());
        match &found.ok_or_else(missing)?.1 {
            Loaded::Direct(fd) => Ok(fd.as_fd()),
            Loaded::Aya(theirs) => {
                let program = self.ebpf.as_ref().and_then(|e| e.program(theirs));
                let program = program.ok_or_else(missing)?;
                let fd = program.fd().map_err(|e| Error::Object(chain(&e)))?;
                Ok(fd.as_fd())
            }
        }
    }

    /// Detaches everything; maps and programs stay.
    pub fn detach(&mut self) {
        let tracepoints = std::mem::take(&mut self.tracepoints);
        let mut links = std::mem::take(&mut self.links);
        links.extend(self.breakpoints.drain(..).flat_map(|(_, links)| links));
        links.extend(tracepoints.into_iter().map(|t| Box::new(t) as Link));
        drop_side_by_side(links);
    }

    /// Detaches everything; what Linux takes long to close is closed by a process of its own. Programs that have
    /// been told to do nothing any more have seen that when this returns; others run until they are closed.
    pub fn leave_behind(&mut self) {
        // A grace period: whoever was running a program has left it.
        // SAFETY: the call takes numbers.
        let waited = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
        if waited < 0 {
            // Some kernels cannot tell (`nohz_full`): a program runs for microseconds.
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let tracepoints = std::mem::take(&mut self.tracepoints);
        // Without a process they are closed here.
        let _ = behind::leave(tracepoints);
        self.detach();
    }

    /// How many of the attachments are tracepoints.
    pub fn tracepoints(&self) -> usize {
        self.tracepoints.len()
    }

    /// How many attachments there are.
    pub fn attached(&self) -> usize {
        self.links.len() + self.breakpoints.len() + self.tracepoints.len()
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
        sys::test_run(self.descriptor(name)?, data, ctx, out).map_err(|source| Error::Io {
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
        let fd = match theirs {
            LoadedMap::Direct(made) => made.fd.as_fd(),
            LoadedMap::Aya(theirs) => {
                let map = self.ebpf.as_ref().and_then(|e| e.map(theirs));
                let map = map.ok_or_else(|| Error::NoMap(name.into()))?;
                map_data(map).fd().as_fd()
            }
        };
        let fd = fd
            .try_clone_to_owned()
            .map_err(|source| duplicate(name, source))?;
        let cpus = nr_cpus().map_err(|(what, source)| Error::Map {
            map: format!("{name} ({what})"),
            what: "cannot count CPUs",
            source,
        })?;
        Ok(MapHandle::new(fd, map, cpus))
    }

    /// The object's maps that its programs use.
    pub fn maps(&self) -> impl std::iter::Iterator<Item = &probity_objfile::Map> {
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
        let aya = match theirs {
            LoadedMap::Aya(theirs) => self.ebpf.as_mut().and_then(|e| e.take_map(theirs)),
            LoadedMap::Direct(made) => {
                let fd = made.fd.try_clone();
                let fd = fd.map_err(|source| duplicate(name, source))?;
                let data = MapData::from_fd(fd).map_err(|e| Error::Object(chain(&e)))?;
                Some(match map.kind {
                    RINGBUF => Map::RingBuf(data),
                    _ => Map::PerfEventArray(data),
                })
            }
        };
        let aya = aya.ok_or_else(|| Error::NoMap(name.into()))?;
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
        let missing = || Error::NoProgram(name.into());
        match self.programs.iter().find(|(n, _)| n == name) {
            Some((_, Loaded::Aya(theirs))) => {
                let program = self.ebpf.as_mut().and_then(|e| e.program_mut(theirs));
                program.ok_or_else(missing)
            }
            Some((_, Loaded::Direct(_))) => Err(Error::Unsupported {
                program: name.into(),
                why: "programs of its kind do not attach there".into(),
            }),
            None => Err(missing()),
        }
    }

    /// Static initialisers of program arrays, which aya does not know.
    fn fill_program_arrays(&self) -> Result<(), Error> {
        for (map, _) in &self.maps {
            for (slot, initial) in &map.initial {
                let Initial::Program(program) = initial else {
                    continue;
                };
                let value = self.descriptor(program)?.as_raw_fd().to_ne_bytes();
                let array = self.map(&map.name)?;
                sys::update(array.fd.as_fd(), &slot.to_ne_bytes(), &value).map_err(|source| {
                    Error::Map {
                        map: map.name.clone(),
                        what: "cannot be filled",
                        source,
                    }
                })?;
            }
        }
        Ok(())
    }
}

/// An iterator program with what it walks over.
pub struct Iterator(OwnedFd);

impl Iterator {
    /// Walks once over all objects; gives what the program wrote by itself.
    pub fn run(&self) -> Result<Vec<u8>, Error> {
        link::run_iterator(self.0.as_fd()).map_err(no_walk)
    }
}

fn no_walk(source: std::io::Error) -> Error {
    Error::Io {
        what: "cannot walk with this iterator",
        source,
    }
}

fn duplicate(map: &str, source: std::io::Error) -> Error {
    Error::Map {
        map: map.into(),
        what: "cannot be opened again",
        source,
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

fn map_data(map: &Map) -> &MapData {
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
