//! A generated program × random inputs → whether two engines leave the same behind.
//!
//! Compared are result, context, packet, the contents of all maps, what lies in ring buffers and perf arrays, and
//! what the program asked its surroundings, in order.
//!
//! [`check`] serves `cargo test` for seconds and the fuzzer all night. Engines are made by whoever asks, so that this
//! crate needs no compiler.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use probity_interp::Interp;
use probity_objfile::Object;
use probity_platform::{Platform, Policy};
use probity_runtime::{Clock, Engine, Env, FaultKind, Instance, Options, Space};
use probity_verifier::{Verdict, Verified, verify};

use crate::containment::{Broken, input};
use crate::generate::{Features, KINDS, Program, Rng, arena_pages, program};
use crate::shrink::shrink;

/// Makes the engine that is held against the interpreter; the number draws one of its variations.
pub type Make<'a> = &'a dyn Fn(Arc<Instance>, u64) -> Result<Box<dyn Engine>, String>;

/// How programs are checked.
#[derive(Clone, Debug)]
pub struct Setting {
    pub platform: Arc<Platform>,
    pub policy: Policy,
    pub features: Features,
    /// Inputs of each program.
    pub runs: u64,
    /// Programs that may execute more instructions are not run.
    pub longest: u64,
}

impl Setting {
    /// Pointers are not taken for numbers: each engine has its own. The turns of `may_goto` are too many to walk through.
    pub fn new(platform: &Platform, runs: u64) -> Setting {
        Setting {
            platform: Arc::new(Platform {
                privileged: false,
                ..platform.clone()
            }),
            policy: Policy {
                max_processed: Some(20_000),
                ..Policy::default()
            },
            features: Features::ALL
                .without(Features::MISTAKES)
                .without(Features::MAY_GOTO),
            runs,
            longest: 20_000,
        }
    }
}

/// How a program came out that is not a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It does not encode, or is refused.
    Refused,
    /// It may run for too long.
    Long,
    /// What it leaves depends on where its memory lies.
    Addresses,
    Agreed,
}

/// What programs came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub refused: u64,
    pub long: u64,
    pub addresses: u64,
    pub agreed: u64,
}

impl Tally {
    pub fn add(&mut self, checked: Checked) {
        match checked {
            Checked::Refused => self.refused += 1,
            Checked::Long => self.long += 1,
            Checked::Addresses => self.addresses += 1,
            Checked::Agreed => self.agreed += 1,
        }
    }
}

impl Tally {
    pub fn programs(&self) -> u64 {
        self.refused + self.long + self.addresses + self.agreed
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.refused += other.refused;
        self.long += other.long;
        self.addresses += other.addresses;
        self.agreed += other.agreed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, ran) = (self.programs(), self.agreed);
        let (refused, long, told) = (self.refused, self.long, self.addresses);
        write!(
            f,
            "{all} programs: {ran} ran without a difference, {refused} refused, {long} too long, {told} tell addresses"
        )
    }
}

/// Makes the program of a seed, and checks it; what fails is made smaller first.
pub fn check_seed(setting: &Setting, seed: u64, make: Make<'_>) -> Result<Checked, Box<Broken>> {
    let mut r = Rng(seed);
    let kind = r.of(KINDS);
    let made = program(&mut r, kind, setting.features);
    let draw = r.next();
    let fails = |p: &Program| check(setting, p, seed, draw, make).err();
    let why = match check(setting, &made, seed, draw, make) {
        Ok(checked) => return Ok(checked),
        Err(why) => why,
    };
    let small = shrink(made.clone(), &|p| fails(p).is_some());
    // What does not happen again every time is told as it was.
    let (why, made) = match fails(&small) {
        Some(why) => (why, small),
        None => (format!("not every time: {why}"), made),
    };
    Err(Box::new(Broken {
        seed,
        features: setting.features,
        why,
        text: made.text(&setting.platform),
    }))
}

/// Verifies a program, and when it is accepted runs it on inputs made from the seed. `Err` tells what differs.
pub fn check(
    setting: &Setting,
    program: &Program,
    seed: u64,
    draw: u64,
    make: Make<'_>,
) -> Result<Checked, String> {
    let all = || {
        let Some(object) = program.object() else {
            return Ok(Checked::Refused);
        };
        compare(setting, &object, seed, draw, make)
    };
    catch_unwind(AssertUnwindSafe(all)).unwrap_or_else(|p| {
        let text = p.downcast_ref::<String>().cloned();
        let text = text.or_else(|| p.downcast_ref::<&str>().map(|s| (*s).to_string()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// The first program of an object, under the interpreter and the engine that is made.
fn compare(
    setting: &Setting,
    object: &Object,
    seed: u64,
    draw: u64,
    make: Make<'_>,
) -> Result<Checked, String> {
    let options = probity_verifier::Options::default();
    let report = verify(object, &setting.platform, &setting.policy, &options);
    let report = report.map_err(|e| e.to_string())?;
    match report.programs.first().map(|p| &p.verdict) {
        Some(Verdict::Accept(_)) => {}
        _ => return Ok(Checked::Refused),
    }
    let verified = Arc::new(report.into_verified().map_err(|_| "no proof")?);
    let worst = verified.programs()[0].worst_case_insns();
    if worst.is_none_or(|w| w > setting.longest) {
        return Ok(Checked::Long);
    }
    let differs = |make: Make<'_>| differs(setting, &verified, seed, draw, make);
    let found = differs(make);
    // Where what is left depends on addresses, two interpreters differ too.
    let again: Make<'_> = &|instance, _| {
        let limit = 64 * setting.longest;
        Ok(Box::new(Interp::new(instance).with_limit(limit)) as Box<dyn Engine>)
    };
    match found {
        Err(_) if (0..3).any(|_| differs(again).is_err()) => Ok(Checked::Addresses),
        found => found,
    }
}

/// Runs a proved program on both.
fn differs(
    setting: &Setting,
    verified: &Arc<Verified>,
    seed: u64,
    draw: u64,
    make: Make<'_>,
) -> Result<Checked, String> {
    let kind = verified.programs()[0].prog_type().0;
    let (one, two) = (Side::new(verified)?, Side::new(verified)?);
    let pages = [&one, &two].map(|side| arena_pages(&side.instance));
    let interp = Interp::new(one.instance.clone()).with_limit(64 * setting.longest);
    let other = make(two.instance.clone(), draw)?;
    let mut inputs = Rng(seed ^ 0x1237_5eed);
    for run in 0..setting.runs {
        let seed = inputs.next();
        let mut contexts = [input(kind, &mut Rng(seed)), input(kind, &mut Rng(seed))];
        let [a, b] = &mut contexts;
        let cpu = (run % 2) as usize;
        let expected = match interp.call(0, a, cpu) {
            // It went on in itself over and over.
            Err(f) if f.kind == FaultKind::Budget => return Ok(Checked::Long),
            expected => expected.map_err(|f| format!("run {run}: interp: {f}"))?,
        };
        let got = other
            .call(0, b, cpu)
            .map_err(|f| format!("run {run}: {}: {f}", other.name()))?;
        let differ = |what: &str, a: String, b: String| {
            Err(format!(
                "run {run}, input {seed}: {what}: interp {a}, {} {b}",
                other.name()
            ))
        };
        if expected != got {
            return differ(
                "r0",
                format!("{:#x}", expected.ret),
                format!("{:#x}", got.ret),
            );
        }
        if a.read() != b.read() {
            return differ(
                "context",
                format!("{:x?}", a.read()),
                format!("{:x?}", b.read()),
            );
        }
        if a.packet() != b.packet() {
            return differ(
                "packet",
                format!("{:x?}", a.packet()),
                format!("{:x?}", b.packet()),
            );
        }
    }
    let (a, b) = (one.left(&pages[0]), two.left(&pages[1]));
    if a != b {
        return Err(format!(
            "left behind:\ninterp {a:x?}\n{} {b:x?}",
            other.name()
        ));
    }
    Ok(Checked::Agreed)
}

/// One engine's maps and surroundings.
struct Side {
    instance: Arc<Instance>,
    log: Arc<Log>,
}

/// Maps by name, with what is in them; and the questions that were asked.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    maps: Vec<(String, Vec<(Vec<u8>, Option<Vec<Vec<u8>>>)>)>,
    records: Vec<Vec<u8>>,
    samples: Vec<(usize, Vec<u8>)>,
    /// Structures that are allocated still.
    structures: usize,
    asked: Vec<Asked>,
}

impl Side {
    fn new(verified: &Arc<Verified>) -> Result<Side, String> {
        let log = Arc::new(Log::default());
        let options = Options {
            cpus: 2,
            perf_bytes: 1 << 12,
            env: log.clone(),
            ..Options::default()
        };
        let instance = Instance::new(verified.clone(), options).map_err(|e| e.to_string())?;
        // A program may go on in itself.
        if instance.map_by_name("programs").is_some() {
            instance
                .insert_program("programs", 1, 0)
                .map_err(|e| e.to_string())?;
        }
        Ok(Side {
            instance: Arc::new(instance),
            log,
        })
    }

    /// `pages`: those of the arena that are there.
    fn left(&self, pages: &[u64]) -> Left {
        let mut left = Left {
            maps: Vec::new(),
            records: Vec::new(),
            samples: Vec::new(),
            structures: self.instance.allocated(),
            asked: self.log.asked.lock().map(|a| a.clone()).unwrap_or_default(),
        };
        for map in self.instance.maps() {
            for at in pages.iter().filter(|_| map.arena().is_some()) {
                let mut page = vec![0; 4096];
                let read = map.read_arena(*at, &mut page);
                left.records.extend(read.is_ok().then_some(page));
            }
            if let Some(ring) = map.ring() {
                ring.consume(|record| {
                    left.records.push(record.to_vec());
                    true
                });
                continue;
            }
            if let Some(perf) = map.perf() {
                left.samples.extend(perf.drain());
                continue;
            }
            let mut entries: Vec<_> = map
                .keys()
                .into_iter()
                .map(|k| {
                    let v = map.lookup_percpu(&k);
                    (k, v)
                })
                .collect();
            entries.sort();
            left.maps.push((map.name().to_string(), entries));
        }
        left
    }
}

/// What a program asked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Time(Clock),
    Random,
    Task(&'static str),
    Read(Space, u64, usize),
    Trace(Vec<u8>),
}

/// Surroundings that answer with how often they were asked, and remember it.
#[derive(Debug, Default)]
struct Log {
    asked: Mutex<Vec<Asked>>,
}

impl Log {
    fn ask(&self, what: Asked) -> u64 {
        let mut asked = self.asked.lock().unwrap_or_else(|e| e.into_inner());
        asked.push(what);
        asked.len() as u64
    }
}

impl Env for Log {
    fn time(&self, clock: Clock) -> u64 {
        self.ask(Asked::Time(clock)) * 1_000_003
    }
    fn pid_tgid(&self) -> u64 {
        self.ask(Asked::Task("pid_tgid")) << 32 | 7
    }
    fn uid_gid(&self) -> u64 {
        self.ask(Asked::Task("uid_gid"))
    }
    fn comm(&self) -> [u8; 16] {
        let n = self.ask(Asked::Task("comm"));
        let mut name = *b"program\0\0\0\0\0\0\0\0\0";
        name[7] = b'0' + (n % 10) as u8;
        name
    }
    fn cgroup_id(&self) -> u64 {
        self.ask(Asked::Task("cgroup_id"))
    }
    fn random(&self) -> u32 {
        (self.ask(Asked::Random) as u32).wrapping_mul(0x9e37_79b9)
    }
    fn read(&self, space: Space, address: u64, out: &mut [u8]) -> bool {
        self.ask(Asked::Read(space, address, out.len()));
        false
    }
    fn trace(&self, line: &[u8]) {
        self.ask(Asked::Trace(line.to_vec()));
    }
}
