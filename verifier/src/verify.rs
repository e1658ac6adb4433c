//! `Object` × `Platform` × `Policy` → [`Report`]: relocation, then each selected program in turn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use probity_isa::{Imm64, Insn, Pc};
use probity_objfile::{Object, ProgType, Program, RelocTarget, Relocated};
use probity_platform::{Platform, Policy, ProgKind, Version};

use crate::cfg::Cfg;
use crate::env::{Env, MAX_FRAMES};
use crate::explain;
use crate::explore::Stopped;
use crate::kfunc::{Contexts, Rows};
use crate::liveness::Liveness;
use crate::parallel::in_parallel;
use crate::recorded::Recorded;
use crate::reject::{Explain, Failure, Outcome, fail};
use crate::report::{Fact, ProgramReport, Report, Rule, Stats, Verdict, VerifiedProgram};
use crate::special::{Declared, Special};
use crate::state::State;
use crate::value::{MapRef, To, Value};

/// What to verify, and how to tell about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Names of the programs to verify; `None`: all.
    pub programs: Option<Vec<String>>,
    /// Instead of the kind that each section name says.
    pub prog_type: Option<ProgType>,
    /// Stack bytes that were never written read as unknown numbers, as Linux grants to root.
    pub allow_uninit_stack: bool,
    /// Every access is aligned, on machines that demand it.
    pub strict_alignment: bool,
    /// Store a state at every merge point, not only after some instructions: slower, and harder on pruning.
    pub store_often: bool,
    /// Loops are summarised where that can be proved, not walked lap by lap, and static subprograms not at every call.
    pub summaries: bool,
    /// States that come to one merge point are joined where that proves as much, not walked one by one.
    pub joins: bool,
    /// The kernel's configuration by name, for `CONFIG_…` variables.
    pub kconfig: Option<BTreeMap<String, String>>,
    /// Programs verified at the same time, at most; verdicts and their order do not depend on it.
    pub jobs: usize,
    /// Record the state before each instruction visited, up to this many ([`ProgramReport::log`]).
    pub log_states: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            programs: None,
            prog_type: None,
            allow_uninit_stack: true,
            strict_alignment: false,
            store_often: false,
            summaries: true,
            joins: true,
            kconfig: None,
            jobs: 1,
            log_states: 0,
        }
    }
}

/// What keeps verification from giving verdicts at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the object has no program `{name}`; it has {known}")]
    NoProgram { name: String, known: String },
    #[error("relocation: {0}")]
    Relocation(String),
}

/// Verdicts on the selected programs of an object.
///
/// A program is walked as it runs: static subprograms with the arguments that their callers give, global
/// functions that live code calls once, with whatever their prototypes allow.
/// A proof is about programs started at their entry, not about a global function called from elsewhere.
pub fn verify(
    object: &Object,
    platform: &Arc<Platform>,
    policy: &Policy,
    options: &Options,
) -> Result<Report, Error> {
    run(object, platform, policy, options, None)
}

/// [`verify`], and all states walked of each program that is accepted, for tests to hold runs against.
pub fn verify_recorded(
    object: &Object,
    platform: &Arc<Platform>,
    policy: &Policy,
    options: &Options,
) -> Result<(Report, Vec<Option<Recorded>>), Error> {
    let mut records = Vec::new();
    let report = run(object, platform, policy, options, Some(&mut records))?;
    Ok((report, records))
}

/// An object relocated for a platform, of which programs are verified one at a time, as often as one likes:
/// what takes time and memory after that is the verification alone.
pub struct Prepared {
    relocated: Arc<Relocated>,
    platform: Arc<Platform>,
    policy: Arc<Policy>,
    options: Options,
    /// Managed fields of each map's values.
    special: Vec<Special>,
    declared: Declared,
    /// Where programs call kernel functions.
    contexts: Contexts,
}

impl Prepared {
    pub fn new(
        object: &Object,
        platform: &Arc<Platform>,
        policy: &Policy,
        options: &Options,
    ) -> Result<Prepared, Error> {
        let relocated = Arc::new(relocate(object, platform, options)?);
        let declared = Declared::default();
        let object = &relocated.object;
        let special = |m| Special::of(m, object.btf.as_deref(), platform, &declared);
        let programs = object
            .programs
            .iter()
            .filter(|p| crate::kfunc::any(&p.insns));
        let kinds = programs.filter_map(|p| options.prog_type.or(p.hook.prog_type));
        let kinds = kinds.filter_map(|t| platform.prog_kind(t.0));
        Ok(Prepared {
            special: object.maps.iter().map(special).collect(),
            contexts: Contexts::of(kinds, platform),
            relocated,
            platform: platform.clone(),
            policy: Arc::new(policy.clone()),
            options: options.clone(),
            declared,
        })
    }

    pub fn object(&self) -> &Object {
        &self.relocated.object
    }

    /// The verdict on the object's program of that index.
    pub fn verify(&self, index: usize) -> Option<ProgramReport> {
        let program = self.object().programs.get(index)?;
        Some(self.program(index, program, None))
    }
}

fn run(
    object: &Object,
    platform: &Arc<Platform>,
    policy: &Policy,
    options: &Options,
    mut records: Option<&mut Vec<Option<Recorded>>>,
) -> Result<Report, Error> {
    if let Some(names) = &options.programs {
        for name in names {
            if object.program(name).is_none() {
                let known: Vec<&str> = object.programs.iter().map(|p| p.name.as_str()).collect();
                return Err(Error::NoProgram {
                    name: name.clone(),
                    known: known.join(", "),
                });
            }
        }
    }
    let prepared = Prepared::new(object, platform, policy, options)?;
    let named = |name: &String| options.programs.as_ref().is_none_or(|n| n.contains(name));
    let programs = prepared.object().programs.iter().enumerate();
    let wanted: Vec<(usize, &Program)> = programs.filter(|(_, p)| named(&p.name)).collect();
    let programs = match &mut records {
        Some(records) => wanted
            .iter()
            .map(|(index, program)| {
                let mut recorded = None;
                let report = prepared.program(*index, program, Some(&mut recorded));
                records.push(recorded);
                report
            })
            .collect(),
        None => in_parallel(&wanted, options.jobs, |(index, program)| {
            prepared.program(*index, program, None)
        }),
    };
    Ok(Report::new(
        programs,
        prepared.relocated,
        prepared.platform,
        prepared.policy,
    ))
}

fn relocate(object: &Object, platform: &Platform, options: &Options) -> Result<Relocated, Error> {
    let Version(major, minor) = platform.version;
    let target = RelocTarget {
        types: platform.types.as_deref(),
        kernel_version: u32::from(major) << 16 | u32::from(minor) << 8,
        kconfig: options.kconfig.as_ref(),
        ksyms: None,
    };
    probity_objfile::relocate(object, &target).map_err(|e| Error::Relocation(e.to_string()))
}

impl Prepared {
    fn program(
        &self,
        index: usize,
        program: &Program,
        recorded: Option<&mut Option<Recorded>>,
    ) -> ProgramReport {
        let start = Instant::now();
        let mut stats = Stats::default();
        let mut log = Vec::new();
        let prog_type = self.options.prog_type.or(program.hook.prog_type);
        let kind = prog_type.and_then(|t| self.platform.prog_kind(t.0));
        let mut insns = Vec::new();
        let verdict = self
            .verdict(
                index, program, prog_type, kind, &mut insns, &mut stats, &mut log, recorded,
            )
            .map_err(|s| explain::rejection(program, insns, &self.platform, &s));
        stats.time_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        ProgramReport {
            name: program.name.clone(),
            section: program.hook.section.clone(),
            prog_type: kind.map(|k| k.name.to_string()).unwrap_or_default(),
            insns: program.insns.len(),
            stats,
            verdict: match verdict {
                Ok(proof) => Verdict::Accept(Arc::new(VerifiedProgram { stats, ..proof })),
                Err(rejection) => Verdict::Reject(Box::new(rejection)),
            },
            log,
        }
    }

    fn verdict(
        &self,
        index: usize,
        program: &Program,
        prog_type: Option<ProgType>,
        kind: Option<&ProgKind>,
        insns: &mut Vec<Insn>,
        stats: &mut Stats,
        log: &mut Vec<(Pc, String)>,
        recorded: Option<&mut Option<Recorded>>,
    ) -> Result<VerifiedProgram, Box<Stopped>> {
        let Prepared {
            relocated,
            platform,
            policy,
            ..
        } = self;
        let object = &relocated.object;
        if let Some(Some(e)) = relocated.failed.get(index) {
            let must = "the program can be relocated for the platform";
            return Err(Stopped::early(fail(
                Rule::FailedRelocation,
                must,
                &e.to_string(),
            )));
        }
        let (kind, prog_type) =
            known_kind(program, prog_type, kind, platform, policy).map_err(Stopped::early)?;
        let gpl = license(object, policy).map_err(Stopped::early)?;
        size(program, platform, policy).map_err(Stopped::early)?;
        let mut cfg = Cfg::build(
            &program.insns,
            &program.subprogs,
            platform.limits.frames.min(MAX_FRAMES),
            &|insn| crate::effects::throws(insn, platform),
        )
        .map_err(Stopped::early)?;
        let walked = self.walks(index, program, kind, gpl, &mut cfg, stats, log, recorded);
        match walked {
            Ok(facts) => Ok(VerifiedProgram {
                name: program.name.clone(),
                index,
                prog_type,
                raw: program.insns.clone(),
                facts,
                insns: cfg.insns,
                subprogs: cfg.subprogs,
                stats: *stats,
            }),
            Err(stopped) => {
                *insns = cfg.insns;
                Err(stopped)
            }
        }
    }

    /// Where it is too complex, and states were joined, it is walked once more path by path.
    fn walks(
        &self,
        index: usize,
        program: &Program,
        kind: &ProgKind,
        gpl: bool,
        cfg: &mut Cfg,
        stats: &mut Stats,
        log: &mut Vec<(Pc, String)>,
        mut recorded: Option<&mut Option<Recorded>>,
    ) -> Result<Vec<Fact>, Box<Stopped>> {
        let mut walk = |options: &Options, stats: &mut Stats| {
            let recorded = recorded.as_deref_mut();
            log.clear();
            self.walk(
                index, program, kind, gpl, cfg, options, stats, log, recorded,
            )
        };
        match walk(&self.options, stats) {
            Err(stopped) if stats.gathered && stopped.failure.rule == Rule::TooComplex => {
                let before = std::mem::take(stats);
                let options = Options {
                    joins: false,
                    ..self.options.clone()
                };
                let walked = walk(&options, stats);
                stats.add(before);
                walked
            }
            walked => walked,
        }
    }

    /// What holds at each instruction, when all that may happen is safe.
    fn walk(
        &self,
        index: usize,
        program: &Program,
        kind: &ProgKind,
        gpl: bool,
        cfg: &mut Cfg,
        options: &Options,
        stats: &mut Stats,
        log: &mut Vec<(Pc, String)>,
        recorded: Option<&mut Option<Recorded>>,
    ) -> Result<Vec<Fact>, Box<Stopped>> {
        let Prepared {
            relocated,
            platform,
            policy,
            special,
            declared,
            contexts,
            ..
        } = self;
        let object = &relocated.object;
        let rows = match cfg.has_calls() {
            true => Rows::of(&cfg.insns, platform),
            false => Rows::default(),
        };
        crate::iter::laps(cfg, &rows);
        let cfg = &*cfg;
        if cfg.subprogs.len() > platform.limits.subprograms {
            let must = format!(
                "a program has at most {} subprograms",
                platform.limits.subprograms
            );
            return Err(Stopped::early(fail(
                Rule::TooComplex,
                &must,
                &format!("it has {}", cfg.subprogs.len()),
            )));
        }
        instructions(cfg, platform).map_err(Stopped::early)?;
        let mut arena = None;
        if cfg.has_wide() {
            maps(cfg, object, platform, policy).map_err(Stopped::early)?;
            arena = crate::arena::of_program(cfg, object, platform).map_err(Stopped::early)?;
            crate::special::usable(cfg, object, platform, kind, special).map_err(Stopped::early)?;
        }
        let live = match cfg.is_plain() && !cfg.meets() && recorded.is_none() {
            true => Liveness::unknown(),
            false => Liveness::compute(cfg, platform),
        };
        let effects = crate::effects::compute(cfg, platform, &rows, kind.kind);
        let poisoned = relocated
            .poisoned
            .get(index)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let mut env = Env::new(
            object, program, platform, policy, options, kind, cfg, &live, poisoned, special,
            declared, contexts, gpl,
        );
        env.effects = effects;
        env.arena = arena;
        env.kfunc_rows = rows;
        crate::global::ends_anywhere(&env).map_err(Stopped::early)?;
        if matches!(kind.context, probity_platform::Context::Typed) {
            let attach = env.attach_type().or(kind.default_attach);
            let typed =
                crate::typed::context(platform, object, program, attach).map_err(Stopped::early)?;
            if typed.ops.is_some() && !gpl {
                let must = "only GPL-compatible programs implement kernel structures";
                let known = object.license.as_deref().unwrap_or("no licence");
                return Err(Stopped::early(fail(Rule::License, must, known)));
            }
            env.typed = Some(std::rc::Rc::new(typed));
        }
        let context = match kind.context {
            probity_platform::Context::None => Value::Uninit,
            probity_platform::Context::Memory { size } => Value::pointer(To::Memory {
                size,
                writable: true,
            }),
            _ => Value::pointer(To::Context),
        };
        let budget = policy
            .max_processed
            .unwrap_or(usize::MAX)
            .min(platform.limits.processed);
        let mut trace = |pc: Pc, state: &State| {
            if log.len() < options.log_states {
                log.push((pc, state.to_string()));
            }
        };
        env.recorder = recorded.is_some().then(Box::default);
        crate::walks::all(&mut env, context, budget, stats, &mut trace)?;
        if let Some(recorded) = recorded {
            *recorded = env.recorded.take();
        }
        stats.stack_depth = crate::depth::check(&env).map_err(Stopped::early)?;
        let worst = env.worst.of_program();
        (stats.worst_case_insns, stats.worst_case_why) = (worst.ok(), worst.err());
        crate::worst::allowed(&env, worst).map_err(Stopped::early)?;
        let mut facts = env.facts.all();
        for (pc, map) in env.call_maps.iter() {
            if let Some(fact) = facts.get_mut(pc) {
                fact.map = *map;
            }
        }
        Ok(facts)
    }
}

fn known_kind<'a>(
    program: &Program,
    prog_type: Option<ProgType>,
    kind: Option<&'a ProgKind>,
    platform: &Platform,
    policy: &Policy,
) -> Outcome<(&'a ProgKind, ProgType)> {
    let must = "the program's section says what kind of program it is";
    let Some(prog_type) = prog_type else {
        let known = format!("`{}` does not", program.hook.section);
        let error = fail(Rule::ProgramKind, must, &known);
        return Err(match program.hook.similar() {
            Some((kind, more)) => {
                let more = if more {
                    format!(" or `{kind}/…`")
                } else {
                    String::new()
                };
                error.hint(&format!(
                    "name the section `{kind}`{more}, or say which kind it is (--prog-type)"
                ))
            }
            None => error.hint("say which kind it is (--prog-type)"),
        });
    };
    let Some(kind) = kind else {
        let known = format!("kind {} is not", prog_type.0);
        return Err(fail(
            Rule::ProgramKind,
            "the program kind is one of the platform's",
            &known,
        ));
    };
    if let Some(allowed) = &policy.prog_kinds
        && !allowed.iter().any(|k| k == kind.name)
    {
        let known = format!("`{}` is not on its list", kind.name);
        return Err(fail(
            Rule::Policy,
            "the policy allows the program kind",
            &known,
        ));
    }
    // A structure's member is no attach type.
    let member = matches!(kind.context, probity_platform::Context::Typed) && kind.attach.is_empty();
    if let Some(attach) = program.hook.attach_type
        && !member
        && !platform.has_attach_type(attach.0)
    {
        let known = format!("attach type {} is not", attach.0);
        let must = format!("the attach type is one of {}", platform.name);
        return Err(fail(Rule::ProgramKind, &must, &known));
    }
    if program.hook.sleepable && !kind.sleepable {
        let known = format!("`{}` programs cannot", kind.name);
        return Err(fail(
            Rule::ProgramKind,
            "the program kind can be sleepable",
            &known,
        ));
    }
    Ok((kind, prog_type))
}

/// Whether the licence is compatible with the GPL.
fn license(object: &Object, policy: &Policy) -> Outcome<bool> {
    let license = object.license.as_deref().unwrap_or_default();
    if let Some(allowed) = &policy.licenses
        && !allowed.iter().any(|l| l == license)
    {
        return Err(fail(
            Rule::Policy,
            "the policy allows the licence",
            &format!("`{license}` is not on its list"),
        ));
    }
    Ok(probity_objfile::GPL_COMPATIBLE.contains(&license))
}

fn size(program: &Program, platform: &Platform, policy: &Policy) -> Outcome<()> {
    let most = policy
        .max_insns
        .unwrap_or(usize::MAX)
        .min(platform.limits.program_slots);
    if program.insns.len() <= most {
        return Ok(());
    }
    let must = format!("a program has at most {most} instructions");
    let rule = if most == platform.limits.program_slots {
        Rule::TooComplex
    } else {
        Rule::Policy
    };
    Err(fail(
        rule,
        &must,
        &format!("it has {}", program.insns.len()),
    ))
}

/// Instructions that the platform's version does not know yet.
fn instructions(cfg: &Cfg, platform: &Platform) -> Outcome<()> {
    // Jumps through a register are refused by then.
    let (major, minor) = probity_isa::table::NEWEST;
    if platform.version >= Version(major.into(), minor.into()) {
        return Ok(());
    }
    for (pc, insn) in cfg.insns.iter().enumerate() {
        let Some((major, minor)) = insn.since().and_then(|s| s.linux) else {
            continue;
        };
        let since = Version(major.into(), minor.into());
        if since > platform.version {
            let must = format!("{} knows the instruction", platform.name);
            let e = fail(
                Rule::Malformed,
                &must,
                &format!("Linux has it since {since}"),
            );
            return Err(Box::new(Failure { pc: Some(pc), ..*e })
                .hint("compile for an older instruction set: clang -mcpu=v1, v2 or v3"));
        }
    }
    Ok(())
}

/// The maps that the program names, against platform and policy.
fn maps(cfg: &Cfg, object: &Object, platform: &Platform, policy: &Policy) -> Outcome<()> {
    let mut used = Vec::new();
    for (pc, insn) in cfg.insns.iter().enumerate() {
        let Insn::LoadImm64 {
            imm: Imm64::MapIdx(index) | Imm64::MapIdxValue { index, .. },
            ..
        } = insn
        else {
            continue;
        };
        let index = *index as usize;
        if index >= object.maps.len() {
            let known = format!("map {index} of {} is none", object.maps.len());
            let e = fail(
                Rule::MapKind,
                "a map reference names a map of the object",
                &known,
            );
            return Err(Box::new(Failure { pc: Some(pc), ..*e }));
        }
        used.push(index);
    }
    used.sort_unstable();
    used.dedup();
    if used.len() > platform.limits.maps {
        let must = format!("a program uses at most {} maps", platform.limits.maps);
        return Err(fail(
            Rule::TooComplex,
            &must,
            &format!("it uses {}", used.len()),
        ));
    }
    for index in used {
        let Some(map) = object.maps.get(index) else {
            continue;
        };
        let r = MapRef {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            inner: false,
        };
        let Some(kind) = platform.map_kind(map.kind) else {
            let known = format!("map `{}` ({r}) is of kind {}", map.name, map.kind);
            return Err(fail(
                Rule::MapKind,
                "the map's kind is one of the platform's",
                &known,
            ));
        };
        if let Some(allowed) = &policy.map_kinds
            && !allowed.iter().any(|k| k == kind.name)
        {
            let known = format!("map `{}` is of kind `{}`", map.name, kind.name);
            return Err(fail(
                Rule::Policy,
                "the policy allows the map's kind",
                &known,
            ));
        }
        let entry = u64::from(map.key_size) + u64::from(map.value_size);
        let bytes = u64::from(map.max_entries).saturating_mul(entry);
        if policy.max_map_bytes.is_some_and(|most| bytes > most) {
            let known = format!("map `{}` takes {bytes} bytes", map.name);
            return Err(fail(
                Rule::Policy,
                "a map takes no more bytes than the policy's max_map_bytes",
                &known,
            ));
        }
        if policy
            .max_map_entries
            .is_some_and(|most| map.max_entries > most)
        {
            let known = format!("map `{}` has {} entries", map.name, map.max_entries);
            return Err(fail(
                Rule::Policy,
                "a map has no more entries than the policy's max_map_entries",
                &known,
            ));
        }
    }
    Ok(())
}

impl Stopped {
    pub(crate) fn early(failure: Box<Failure>) -> Box<Stopped> {
        Box::new(Stopped {
            pc: failure.pc.unwrap_or(usize::MAX),
            failure,
            state: Box::new(State::entry(0)),
            turns: Vec::new(),
        })
    }
}
