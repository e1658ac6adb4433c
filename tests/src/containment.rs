//! A generated program × random inputs → whether its runs stay inside of what was proved.
//!
//! A program that the verifier accepts runs in the interpreter. Before each instruction registers and stack lie
//! inside of a state that was walked ([`probity_verifier::recorded`]), what engines rely on holds
//! ([`probity_verifier::Fact`]), and nothing faults.
//!
//! [`check`] serves `cargo test` for seconds and the fuzzer all night.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use probity_interp::{Interp, Observer, View, function_value};
use probity_isa::{CallTarget, Insn, Pc, Reg, Size};
use probity_objfile::Object;
use probity_platform::{ArgKind, FieldKind, Platform, Policy};
use probity_runtime::{Context, FaultKind, Instance, Options, Sample, Span};
use probity_verifier::recorded::{Base, Concrete, Follower};
use probity_verifier::{Access, Fact, Region, Rule, Verdict, verify_recorded};

use crate::generate::{Features, KINDS, Program, Rng, arena_pages, program};
use crate::shrink::shrink;

/// Instructions of one run.
const LIMIT: u64 = 20_000;

/// How a program came out that is not a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It does not encode.
    Malformed,
    Refused(String),
    Accepted {
        /// Instructions executed and compared.
        steps: u64,
        /// Instructions that some run executed, and those that the verifier walked.
        covered: usize,
        reached: usize,
    },
}

/// How a program is checked.
#[derive(Clone, Debug)]
pub struct Setting {
    pub platform: Arc<Platform>,
    pub policy: Policy,
    pub runs: u64,
}

impl Setting {
    /// The in-process platform, as root; programs that take long to verify are refused.
    pub fn new(runs: u64) -> Setting {
        Setting {
            platform: Arc::new(probity_runtime::platform(None)),
            policy: Policy {
                max_processed: Some(20_000),
                ..Policy::default()
            },
            runs,
        }
    }
}

/// A program that broke its proof, made as small as it would get.
#[derive(Debug)]
pub struct Broken {
    pub seed: u64,
    pub features: Features,
    pub why: String,
    /// Assembly.
    pub text: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}, {}: {}\n{}",
            self.seed, self.features, self.why, self.text
        )
    }
}

/// Makes the program of a seed, and checks it; what fails is made smaller first.
pub fn check_seed(
    setting: &Setting,
    seed: u64,
    features: Features,
) -> Result<Checked, Box<Broken>> {
    let mut r = Rng(seed);
    let kind = r.of(KINDS);
    let made = program(&mut r, kind, features);
    let often = r.once_in(2);
    let Err(_) = check(setting, &made, often, seed) else {
        return check(setting, &made, often, seed).map_err(|why| {
            Box::new(Broken {
                seed,
                features,
                why,
                text: made.text(&setting.platform),
            })
        });
    };
    let small = shrink(made, &|p| check(setting, p, often, seed).is_err());
    let why = check(setting, &small, often, seed)
        .err()
        .unwrap_or_default();
    Err(Box::new(Broken {
        seed,
        features,
        why,
        text: small.text(&setting.platform),
    }))
}

/// Verifies a program, and when it is accepted runs it on inputs made from the seed. `Err` tells what broke.
/// `often`: states are stored at every merge point.
pub fn check(
    setting: &Setting,
    program: &Program,
    often: bool,
    seed: u64,
) -> Result<Checked, String> {
    catch_unwind(AssertUnwindSafe(|| checked(setting, program, often, seed))).unwrap_or_else(|p| {
        let text = p.downcast_ref::<String>().cloned();
        let text = text.or_else(|| p.downcast_ref::<&str>().map(|s| (*s).to_string()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

fn checked(
    setting: &Setting,
    program: &Program,
    often: bool,
    seed: u64,
) -> Result<Checked, String> {
    let Some(object) = program.object() else {
        return Ok(Checked::Malformed);
    };
    let ran = match run(setting, &object, often, seed)? {
        Ok(ran) => ran,
        Err(rule) => return Ok(Checked::Refused(rule)),
    };
    Ok(Checked::Accepted {
        steps: ran.steps,
        covered: ran.seen.iter().filter(|s| **s).count(),
        reached: ran.reached,
    })
}

/// What runs of a program came to that broke nothing.
pub struct Ran {
    pub steps: u64,
    /// Per slot: some run executed it.
    pub seen: Vec<bool>,
    /// Slots that the verifier walked.
    pub reached: usize,
}

/// Verifies the first program of an object and runs it; `Ok(Err(rule))` when it is refused.
pub fn run(
    setting: &Setting,
    object: &Object,
    often: bool,
    seed: u64,
) -> Result<Result<Ran, String>, String> {
    let mut r = Rng(seed ^ 0x70_17_5e_ed);
    let options = probity_verifier::Options {
        store_often: often,
        summaries: !r.once_in(4),
        joins: !r.once_in(4),
        ..Default::default()
    };
    let verified = verify_recorded(object, &setting.platform, &setting.policy, &options);
    let (report, mut records) = verified.map_err(|e| e.to_string())?;
    if let Some(Verdict::Reject(r)) = report.programs.first().map(|p| &p.verdict) {
        return match r.rule {
            Rule::Internal => Err(r.to_string()),
            rule => Ok(Err(rule.name().to_string())),
        };
    }
    let recorded = records.pop().flatten().ok_or("nothing was recorded")?;
    let verified = report.into_verified().map_err(|_| "no proof")?;
    let options = Options {
        cpus: 1,
        perf_bytes: 1 << 12,
        env: Arc::new(Sample::default()),
        ..Options::default()
    };
    let instance = Instance::new(Arc::new(verified), options).map_err(|e| e.to_string())?;
    arena_pages(&instance);
    let instance = Arc::new(instance);
    let interp = Interp::new(instance.clone()).with_limit(LIMIT);
    let proved = instance.programs()[0].verified().clone();
    let values: Vec<Vec<Span>> = instance.maps().map(|m| m.values()).collect();
    let takes_locks = instance.map_by_name("shelves").is_some();
    let mut r = Rng(seed ^ 0x5eed);
    let mut seen = vec![false; proved.insns().len()];
    let mut steps = 0;
    for run in 0..setting.runs {
        fill(&instance, &mut r);
        let mut context = input(proved.prog_type().0, &mut r);
        let mut oracle = Oracle {
            follower: recorded.follow(),
            instance: &instance,
            platform: &setting.platform,
            facts: proved.facts(),
            insns: proved.insns(),
            values: &values,
            frames: Vec::new(),
            before: None,
            wrong: None,
            seen: &mut seen,
        };
        let done = interp.run_observed(0, &mut context, 0, &mut oracle);
        if let Some(wrong) = oracle.wrong {
            return Err(format!("run {run}: {wrong}"));
        }
        let budget = match done.result {
            Err(f) if f.kind != FaultKind::Budget => return Err(format!("run {run}: {f}")),
            ended => ended.is_err(),
        };
        if let Some(most) = proved.worst_case_insns()
            && done.executed > most
        {
            return Err(format!(
                "run {run}: {} instructions were executed, at most {most} were proved",
                done.executed
            ));
        }
        steps += done.executed;
        if budget && takes_locks {
            // It may have been ended with a lock held, for which another run would wait.
            break;
        }
    }
    let reached = proved.facts().iter().filter(|f| f.reached).count();
    Ok(Ok(Ran {
        steps,
        seen,
        reached,
    }))
}

/// Random contents for maps of values.
fn fill(instance: &Instance, r: &mut Rng) {
    for map in instance.maps() {
        if map.value_size() != 16 {
            continue;
        }
        for key in 0..map.max_entries() as u32 {
            let value: Vec<u8> = [r.word(), r.word()]
                .iter()
                .flat_map(|w| w.to_le_bytes())
                .collect();
            // A hash may be full.
            let _ = map.update(&key.to_le_bytes(), &value, 0);
            if map.kind() == 1 && r.once_in(2) {
                let _ = map.delete(&key.to_le_bytes());
            }
        }
    }
}

/// A random context for a kind of program.
pub fn input(prog_type: u32, r: &mut Rng) -> Context {
    let words: Vec<u64> = (0..64).map(|_| r.word()).collect();
    let len = r.of(&[0, 1, 8, 14, 15, 16, 17, 18, 34, 64, 100]);
    let packet: Vec<u8> = (0..len).map(|_| r.word() as u8).collect();
    match prog_type {
        6 => Context::xdp(&packet),
        1 | 3 | 4 | 8 => Context::skb(&packet),
        _ => Context::words(&words),
    }
    .expect("a context")
}

struct Oracle<'a> {
    follower: Follower<'a>,
    instance: &'a Instance,
    platform: &'a Platform,
    facts: &'a [Fact],
    insns: &'a [Insn],
    /// Of each map.
    values: &'a [Vec<Span>],
    /// Registers of each frame when it last ran.
    frames: Vec<[u64; 11]>,
    /// A conditional jump that was executed last, and whether it is taken.
    before: Option<(Pc, bool)>,
    wrong: Option<String>,
    seen: &'a mut [bool],
}

/// The machine as the oracle sees it.
struct Now<'a, 'b> {
    oracle: &'a Oracle<'b>,
    view: &'a View<'a>,
}

impl Observer for Oracle<'_> {
    fn step(&mut self, _program: usize, _pc: Pc, _regs: &[u64; 11]) {}

    fn look(&mut self, program: usize, pc: Pc, regs: &[u64; 11], view: &View<'_>) {
        if self.wrong.is_some() || program != 0 {
            return;
        }
        // The stack grows down, a frame at a time.
        while self.frames.last().is_some_and(|f| f[10] < regs[10]) {
            self.frames.pop();
        }
        match self.frames.last_mut() {
            Some(f) if f[10] == regs[10] => *f = *regs,
            _ => self.frames.push(*regs),
        }
        if let Err(why) = self.compare(pc, regs, view) {
            let insn = self.insns.get(pc).map(|i| i.to_string());
            self.wrong = Some(format!("{pc}: {}: {why}", insn.unwrap_or_default()));
        }
    }
}

impl Oracle<'_> {
    fn compare(&mut self, pc: Pc, regs: &[u64; 11], view: &View<'_>) -> Result<(), String> {
        if let Some(seen) = self.seen.get_mut(pc) {
            *seen = true;
        }
        let fact = self.facts.get(pc).copied().unwrap_or_default();
        if !fact.reached {
            return Err("believed dead".to_string());
        }
        if let Some((at, jump)) = self.before.take() {
            let target = self.insns[at].jump_target(at).unwrap_or(-1);
            let way = if jump { target } else { at as i64 + 1 };
            if way != pc as i64 {
                return Err(format!("the jump at {at} was believed to go to {way}"));
            }
        }
        if let (Insn::JumpIf { .. }, Some(jump)) = (&self.insns[pc], fact.decided) {
            self.before = Some((pc, jump));
        }
        if let Some(access) = fact.access {
            self.access(pc, regs, view, access)?;
        }
        if let (Some(map), Insn::Call(CallTarget::Helper(id))) = (fact.map, &self.insns[pc]) {
            let row = self.platform.helper(*id).ok_or("no such helper")?;
            let at = row.args.iter().position(|a| a.kind == ArgKind::Map);
            let given = at.map(|at| regs[at + 1]);
            let address = self.instance.map(map).map(|m| m.address());
            if given != address {
                return Err(format!("believed to be given map {map}"));
            }
        }
        let mut follower = self.follower.clone();
        let now = Now { oracle: self, view };
        let result = follower.step(pc, &now);
        self.follower = follower;
        result.map_err(|outside| outside.to_string())
    }

    /// What was proved of an access holds.
    fn access(
        &self,
        pc: Pc,
        regs: &[u64; 11],
        view: &View<'_>,
        access: Access,
    ) -> Result<(), String> {
        let (base, off, size) = match self.insns[pc] {
            Insn::Load {
                base, off, size, ..
            }
            | Insn::Store {
                base, off, size, ..
            }
            | Insn::Atomic {
                base, off, size, ..
            }
            | Insn::LoadAcquire {
                base, off, size, ..
            }
            | Insn::StoreRelease {
                base, off, size, ..
            } => (base, off, size),
            _ => return Ok(()),
        };
        let at = regs[base.index()].wrapping_add_signed(off.into());
        let last = at.wrapping_add(size.bytes() as u64 - 1);
        let field = |kind| view.field(kind).unwrap_or(0);
        // Where offsets count from, and what the access lies between.
        let span = |f: &[u64; 11]| (f[10], f[10] - 512, f[10]);
        let below = self.frames.len().saturating_sub(1);
        let places: Vec<(u64, u64, u64)> = match access.region {
            Region::Stack => vec![span(regs)],
            Region::OuterStack => self.frames[..below].iter().map(span).collect(),
            Region::Context(_) => vec![(view.context(), view.context(), u64::MAX)],
            Region::Packet => {
                let data = field(FieldKind::PacketData);
                let meta = field(FieldKind::PacketMeta);
                vec![(data, meta.min(data), field(FieldKind::PacketEnd))]
            }
            Region::MapValue(n) => {
                let values = self.values.get(n).map(Vec::as_slice).unwrap_or_default();
                values.iter().map(|s| (s.start, s.start, s.end)).collect()
            }
            Region::Memory | Region::Mixed => {
                return match view.load(at, size) {
                    Some(_) => Ok(()),
                    None => Err(format!("{at:#x} is not in {}", access.region)),
                };
            }
            _ => return Ok(()),
        };
        let inside = places.iter().find(|p| p.1 <= at && last < p.2);
        let Some((start, _, _)) = inside else {
            return Err(format!("{at:#x} is not in {}", access.region));
        };
        match access.offset {
            Some(o) if at.wrapping_sub(*start) as i64 != o => Err(format!(
                "at offset {} of {}, not {o}",
                at.wrapping_sub(*start) as i64,
                access.region
            )),
            _ => Ok(()),
        }
    }
}

impl Concrete for Now<'_, '_> {
    fn frames(&self) -> usize {
        self.oracle.frames.len()
    }

    fn reg(&self, frame: usize, reg: Reg) -> u64 {
        self.oracle.frames.get(frame).map_or(0, |f| f[reg.index()])
    }

    fn stack(&self, frame: usize, off: i64) -> Option<u8> {
        let top = self.oracle.frames.get(frame)?[10];
        let byte = self.view.load(top.wrapping_add_signed(off), Size::B)?;
        Some(byte as u8)
    }

    fn starts(&self, base: Base) -> Option<Vec<u64>> {
        let o = self.oracle;
        let one = |at: Option<u64>| Some(at.into_iter().collect());
        match base {
            Base::Context => one(Some(self.view.context())),
            Base::Frame(n) => one(o.frames.get(n).map(|f| f[10])),
            Base::Map(n) => one(o.instance.map(n).map(|m| m.address())),
            Base::MapValue(n) => {
                let values = o.values.get(n)?;
                Some(values.iter().map(|s| s.start).collect())
            }
            Base::Packet => one(self.view.field(FieldKind::PacketData)),
            Base::PacketMeta => one(self.view.field(FieldKind::PacketMeta)),
            Base::PacketEnd => one(self.view.field(FieldKind::PacketEnd)),
            Base::Record(size) => {
                let records = self.view.records().iter();
                let of = records.filter(|r| r.1 == u64::from(size));
                Some(of.map(|r| r.0).collect())
            }
            Base::Function(pc) => one(Some(function_value(0, pc))),
            Base::Other => None,
        }
    }

    fn references(&self) -> Option<usize> {
        Some(self.view.records().len())
    }
}

/// How many of what was generated was accepted, by feature.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub programs: u64,
    pub accepted: u64,
    pub steps: u64,
    pub covered: usize,
    pub reached: usize,
    /// Rules that refused, with how many programs.
    pub refused: std::collections::BTreeMap<String, u64>,
}

impl Tally {
    pub fn add(&mut self, checked: &Checked) {
        self.programs += 1;
        match checked {
            Checked::Malformed => *self.refused.entry("does not encode".into()).or_default() += 1,
            Checked::Refused(rule) => *self.refused.entry(rule.clone()).or_default() += 1,
            Checked::Accepted {
                steps,
                covered,
                reached,
            } => {
                self.accepted += 1;
                self.steps += steps;
                self.covered += covered;
                self.reached += reached;
            }
        }
    }

    /// Accepted, in percent.
    pub fn rate(&self) -> u64 {
        100 * self.accepted / self.programs.max(1)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused: Vec<String> = self
            .refused
            .iter()
            .map(|(rule, n)| format!("{rule} {n}"))
            .collect();
        write!(
            f,
            "{:>5} of {:<5} accepted ({:>3}%), {:>8} instructions compared, {:>3}% of those walked were run; {}",
            self.accepted,
            self.programs,
            self.rate(),
            self.steps,
            100 * self.covered / self.reached.max(1),
            refused.join(", ")
        )
    }
}

/// What a run of the oracle combines, by the name under which it is counted: each feature alone on top of lookups,
/// then everything, with and without mistakes.
pub fn settings() -> Vec<(String, Features)> {
    let mut all: Vec<(String, Features)> = Features::NAMED
        .iter()
        .map(|(name, f)| (name.to_lowercase(), *f))
        .collect();
    let correct = Features::ALL.without(Features::MISTAKES);
    let numbers = Features::ALU32
        .with(Features::DIVISION)
        .with(Features::SHIFT_BY_REGISTER)
        .with(Features::SIGN_EXTENSION)
        .with(Features::BYTE_SWAP)
        .with(Features::BRANCH)
        .with(Features::INDEX)
        .with(Features::LINK);
    let memory = Features::BRANCH
        .with(Features::LOOP)
        .with(Features::SPILL)
        .with(Features::VARIABLE_STACK)
        .with(Features::ATOMIC)
        .with(Features::LINK)
        .with(Features::SUBPROGRAM)
        .with(Features::CALLBACK);
    all.push(("numbers".into(), numbers));
    all.push(("memory".into(), memory));
    all.push(("all without mistakes".into(), correct));
    all.push(("all".into(), Features::ALL));
    all
}
