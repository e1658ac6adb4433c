//! Objects → two verdicts on each of their programs, the running kernel's and ours, and what they come to.

mod cache;
mod embedded;
pub mod explained;
mod features;
mod files;
mod ours;
mod print;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use probity_btf::{Type, TypeId};
use probity_objfile::{Object, Relocated};
use probity_platform::{Platform, Version};

use crate::kernel::{Answer, Machine, Session, Targets};
use cache::Cache;
use explained::{Refusal, Table};
pub use files::{Source, files};
pub use ours::Ours;
pub use print::{json, text};

/// Where the other verdict comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oracle {
    Kernel,
    /// Declaration tags of the kernel's selftests.
    Annotations,
}

pub struct Settings {
    pub oracle: Oracle,
    /// File of kept verdicts of the kernel.
    pub cache: Option<PathBuf>,
    pub program: Option<String>,
    pub feature: Option<String>,
    pub limit: Duration,
    /// Say on standard error how far it is.
    pub progress: bool,
    pub table: Table,
    /// What the verifier may do besides walking path by path.
    pub summaries: bool,
    pub joins: bool,
}

/// Both verdicts on a program.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Case {
    pub object: String,
    pub program: String,
    pub section: String,
    pub features: BTreeSet<String>,
    pub linux: Answer,
    pub ours: Ours,
    /// The row of the table, where we accept and Linux does not.
    pub explained: Option<String>,
}

/// All of a run.
pub struct Outcome {
    pub release: String,
    pub oracle: Oracle,
    pub cases: Vec<Case>,
    /// Files that were no objects for us, and why.
    pub unopened: Vec<(String, String)>,
    /// Objects whose types the kernel did not take.
    pub types_refused: Vec<(String, String)>,
}

impl Case {
    /// We accept what Linux refuses, and the table does not say why that is safe.
    pub fn is_unsound(&self) -> bool {
        self.linux.verdict == "reject" && self.ours.verdict == "accept" && self.explained.is_none()
    }

    pub fn disagrees(&self) -> bool {
        matches!(
            (self.linux.verdict.as_str(), self.ours.verdict),
            ("reject", "accept") | ("accept", "reject" | "slow" | "panic") | (_, "panic")
        )
    }
}

/// Asks both about every program of the files.
pub fn run(files: &[Source], settings: &Settings) -> Result<Outcome, String> {
    let machine = Machine::here();
    let mut judge = Judge::new(&machine, settings, files)?;
    for (n, file) in files.iter().enumerate() {
        let name = file.shown();
        if settings.progress {
            eprint!("\r\x1b[K[{}/{}] {name}", n + 1, files.len());
        }
        match file.open(&judge.platform) {
            Ok(object) => judge.object(&name, &Arc::new(object)),
            Err(e) => judge.outcome.unopened.push((name, e)),
        }
    }
    if settings.progress {
        eprintln!("\r\x1b[K{} programs", judge.outcome.cases.len());
    }
    Ok(judge.outcome)
}

/// Asks both, object by object.
pub struct Judge<'a> {
    machine: &'a Machine,
    settings: &'a Settings,
    pub platform: Arc<Platform>,
    ours: ours::Settings,
    cache: Cache,
    replaceable: Replaceable<'a>,
    pub outcome: Outcome,
}

impl<'a> Judge<'a> {
    /// `files` are where programs to be replaced are looked for.
    pub fn new(
        machine: &'a Machine,
        settings: &'a Settings,
        files: &'a [Source],
    ) -> Result<Judge<'a>, String> {
        let platform = Platform::linux(Version(6, 18), machine.types.clone());
        let platform = Arc::new(platform.with_cpus(machine.cpus));
        let cache = match &settings.cache {
            Some(path) => Cache::open(path)?,
            None => Cache::default(),
        };
        Ok(Judge {
            machine,
            settings,
            ours: ours::Settings {
                platform: platform.clone(),
                kconfig: machine.kconfig.clone(),
                limit: settings.limit,
                strict_alignment: false,
                summaries: settings.summaries,
                joins: settings.joins,
            },
            cache,
            replaceable: Replaceable {
                machine,
                files,
                platform: platform.clone(),
                index: std::cell::OnceCell::new(),
            },
            platform,
            outcome: Outcome {
                release: machine.release.clone(),
                oracle: settings.oracle,
                cases: Vec::new(),
                unopened: Vec::new(),
                types_refused: Vec::new(),
            },
        })
    }

    /// Both sides load with `BPF_F_STRICT_ALIGNMENT` from now on, or do not.
    pub fn strict_alignment(&mut self, strict: bool) {
        self.ours.strict_alignment = strict;
    }

    /// Both verdicts on every program of an object that the settings ask for.
    pub fn object(&mut self, name: &str, object: &Arc<Object>) {
        let Ok(relocated) = self.machine.relocate(object) else {
            let why = "it cannot be relocated".to_string();
            self.outcome.unopened.push((name.to_string(), why));
            return;
        };
        let mut features: Vec<BTreeSet<String>> = (0..object.programs.len())
            .map(|i| features_of(object, &relocated, i, &self.platform))
            .collect();
        let only = self.settings.program.as_deref();
        let feature = self.settings.feature.as_ref();
        let wanted: Vec<usize> = (0..object.programs.len())
            .filter(|&i| {
                only.is_none_or(|o| o == object.programs[i].name)
                    && feature.is_none_or(|f| features[i].contains(f))
            })
            .collect();
        if wanted.is_empty() {
            return;
        }
        let mut verdicts = ours::verdicts(object, &self.ours, only);
        let mut session = None;
        for i in wanted {
            let program = &object.programs[i];
            let linux = match self.settings.oracle {
                Oracle::Annotations => annotated(object, &program.name),
                Oracle::Kernel => self.linux(name, object, &relocated, i, &mut session),
            };
            let Some(ours) = verdicts.remove(&program.name) else {
                continue;
            };
            let explained = match (linux.verdict.as_str(), ours.verdict) {
                ("reject", "accept") => {
                    let refusal = Refusal {
                        object: name.rsplit('/').next().unwrap_or_default(),
                        program: &program.name,
                        why: &linux.why,
                        log: &linux.log,
                        reached: &|pc| ours.reached.get(pc).copied().unwrap_or(true),
                    };
                    let class = self.settings.table.explain(&refusal);
                    class.map(|c| c.name.clone())
                }
                _ => None,
            };
            self.outcome.cases.push(Case {
                object: name.to_string(),
                program: program.name.clone(),
                section: program.hook.section.clone(),
                features: std::mem::take(&mut features[i]),
                linux,
                ours,
                explained,
            });
        }
    }

    /// The kernel's verdict, kept or asked for.
    fn linux<'o>(
        &mut self,
        name: &str,
        object: &'o Object,
        relocated: &Relocated,
        i: usize,
        session: &mut Option<Result<Session<'o>, String>>,
    ) -> Answer
    where
        'a: 'o,
    {
        let program = &object.programs[i];
        let raw = relocated
            .object
            .programs
            .get(i)
            .map(|p| probity_isa::to_bytes(&p.insns))
            .unwrap_or_default();
        let key = cache::hash(&[
            self.machine.release.as_bytes(),
            program.name.as_bytes(),
            program.hook.section.as_bytes(),
            &[u8::from(self.ours.strict_alignment)],
            &raw,
            &object.elf,
        ]);
        if let Some(answer) = self.cache.get(&key) {
            return answer.clone();
        }
        let session = session.get_or_insert_with(|| {
            let made = Session::new(self.machine, object);
            if let Ok(Some(why)) = made.as_ref().map(Session::types_error) {
                let refused = &mut self.outcome.types_refused;
                refused.push((name.to_string(), why.to_string()));
            }
            made
        });
        let answer = match session {
            Ok(s) => {
                s.strict_alignment = self.ours.strict_alignment;
                s.answer(i, &self.replaceable)
            }
            Err(why) => Answer::none(why.clone()),
        };
        // What gave no verdict today may give one tomorrow.
        if answer.verdict != "none" {
            let program = format!("{name}:{}", program.name);
            self.cache.put(key, &program, &answer);
        }
        answer
    }
}

/// Features of a program, after relocation.
fn features_of(
    object: &Object,
    relocated: &Relocated,
    i: usize,
    platform: &Platform,
) -> BTreeSet<String> {
    let Some(program) = relocated.object.programs.get(i) else {
        return BTreeSet::new();
    };
    let core = object.programs.get(i);
    let core = core.is_some_and(|o| !o.core_relocs.is_empty());
    let poisoned = relocated.poisoned.get(i).is_some_and(|l| !l.is_empty());
    features::of(&relocated.object, program, platform, core, poisoned)
}

/// What the program's declaration tags say of its verdict.
fn annotated(object: &Object, name: &str) -> Answer {
    let mut answer = Answer::none("no annotation");
    let Some(btf) = object.btf.as_deref() else {
        return answer;
    };
    let Some(func) = btf.find_func(name) else {
        return answer;
    };
    for id in 1..btf.len() {
        if let Some(Type::DeclTag { target, value, .. }) = btf.ty(TypeId(id))
            && target == func
        {
            if value.ends_with("test_expect_success") {
                answer.verdict = "accept".into();
            } else if value.ends_with("test_expect_failure") {
                answer.verdict = "reject".into();
                answer.why = "annotated as a failure".into();
            } else if let Some((_, message)) = value.split_once("test_expect_msg=") {
                answer.log.push(message.to_string());
            }
        }
    }
    answer
}

/// Finds a program that has a function of a given name, among all files of the run.
struct Replaceable<'a> {
    machine: &'a Machine,
    files: &'a [Source],
    platform: Arc<Platform>,
    /// Function name → files that have it as a global function of some program.
    index: std::cell::OnceCell<BTreeMap<String, Vec<(usize, usize)>>>,
}

impl Replaceable<'_> {
    fn index(&self) -> &BTreeMap<String, Vec<(usize, usize)>> {
        self.index.get_or_init(|| {
            let mut index: BTreeMap<String, Vec<(usize, usize)>> = BTreeMap::new();
            for (n, file) in self.files.iter().enumerate() {
                let Ok(object) = file.open(&self.platform) else {
                    continue;
                };
                for (i, program) in object.programs.iter().enumerate() {
                    let functions = program.subprogs.iter().enumerate();
                    for (_, s) in functions.filter(|(n, s)| *n == 0 || s.global) {
                        let places = index.entry(s.name.clone()).or_default();
                        places.push((n, i));
                    }
                }
            }
            index
        })
    }
}

impl Targets for Replaceable<'_> {
    fn find(&self, function: &str, by: &Object) -> Option<(OwnedFd, u32)> {
        let places = self.index().get(function)?;
        for (n, i) in places.iter().take(20) {
            let Some(Ok(object)) = self.files.get(*n).map(|f| f.open(&self.platform)) else {
                continue;
            };
            if object.elf == by.elf {
                continue;
            }
            let Ok(mut session) = Session::new(self.machine, &object) else {
                continue;
            };
            if let Ok(found) = session.descriptor(*i, function) {
                return Some(found);
            }
        }
        None
    }
}
