//! Objects → two verdicts on each of their programs, the running kernel's and ours, and what they come to.

mod cache;
pub mod explained;
mod features;
mod ours;
mod print;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use probity_btf::{Type, TypeId};
use probity_objfile::{Object, open};
use probity_platform::{Platform, Version};

use crate::kernel::{Answer, Machine, Session, Targets};
use cache::Cache;
use explained::{Refusal, Table};
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

/// Object files: those named, and those below the directories named.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut open: Vec<(PathBuf, bool)> = paths.iter().map(|p| (p.clone(), true)).collect();
    while let Some((path, named)) = open.pop() {
        if path.is_dir() {
            let entries =
                std::fs::read_dir(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            open.extend(entries.flatten().map(|e| (e.path(), false)));
        } else if !path.exists() {
            return Err(format!("{}: no such file", path.display()));
        } else if named || path.extension().is_some_and(|x| x == "o") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Asks both about every program of the files.
pub fn run(files: &[PathBuf], settings: &Settings) -> Result<Outcome, String> {
    let machine = Machine::here();
    let platform = Arc::new(Platform::linux(Version(6, 18), machine.types.clone()));
    let mut cache = match &settings.cache {
        Some(path) => Cache::open(path)?,
        None => Cache::default(),
    };
    let ours = ours::Settings {
        platform: platform.clone(),
        kconfig: machine.kconfig.clone(),
        limit: settings.limit,
    };
    let mut outcome = Outcome {
        release: machine.release.clone(),
        oracle: settings.oracle,
        cases: Vec::new(),
        unopened: Vec::new(),
        types_refused: Vec::new(),
    };
    let replaceable = Replaceable {
        machine: &machine,
        files,
        index: std::cell::OnceCell::new(),
    };
    for (n, file) in files.iter().enumerate() {
        let name = shown(file);
        if settings.progress {
            eprint!("\r\x1b[K[{}/{}] {name}", n + 1, files.len());
        }
        let object = match opened(file) {
            Ok(object) => Arc::new(object),
            Err(e) => {
                outcome.unopened.push((name, e));
                continue;
            }
        };
        let Ok(relocated) = machine.relocate(&object) else {
            outcome
                .unopened
                .push((name, "it cannot be relocated".into()));
            continue;
        };
        let only = settings.program.as_deref();
        let features: Vec<BTreeSet<String>> = relocated
            .object
            .programs
            .iter()
            .enumerate()
            .map(|(i, p)| {
                let core = object
                    .programs
                    .get(i)
                    .is_some_and(|o| !o.core_relocs.is_empty());
                let poisoned = relocated.poisoned.get(i).is_some_and(|l| !l.is_empty());
                features::of(&relocated.object, p, &platform, core, poisoned)
            })
            .collect();
        let wanted = |i: usize, name: &str| {
            let feature = settings.feature.as_ref();
            only.is_none_or(|o| o == name)
                && feature.is_none_or(|f| features.get(i).is_some_and(|set| set.contains(f)))
        };
        if !object
            .programs
            .iter()
            .enumerate()
            .any(|(i, p)| wanted(i, &p.name))
        {
            continue;
        }
        let mut verdicts = ours::verdicts(&object, &ours, only);
        let mut session = None;
        for (i, program) in object.programs.iter().enumerate() {
            if !wanted(i, &program.name) {
                continue;
            }
            let linux = match settings.oracle {
                Oracle::Annotations => annotated(&object, &program.name),
                Oracle::Kernel => {
                    let raw = relocated
                        .object
                        .programs
                        .get(i)
                        .map(|p| probity_isa::to_bytes(&p.insns))
                        .unwrap_or_default();
                    let key = cache::hash(&[
                        machine.release.as_bytes(),
                        program.name.as_bytes(),
                        program.hook.section.as_bytes(),
                        &raw,
                        &object.elf,
                    ]);
                    match cache.get(&key) {
                        Some(answer) => answer.clone(),
                        None => {
                            if session.is_none() {
                                let made = Session::new(&machine, &object);
                                if let Ok(Some(why)) = made.as_ref().map(Session::types_error) {
                                    outcome.types_refused.push((name.clone(), why.to_string()));
                                }
                                session = Some(made);
                            }
                            let answer = match session.as_mut() {
                                Some(Ok(s)) => s.answer(i, &replaceable),
                                Some(Err(why)) => Answer::none(why.clone()),
                                None => Answer::none("no session"),
                            };
                            cache.put(key, &format!("{name}:{}", program.name), &answer);
                            answer
                        }
                    }
                }
            };
            let Some(ours) = verdicts.remove(&program.name) else {
                continue;
            };
            let explained = match (linux.verdict.as_str(), ours.verdict) {
                ("reject", "accept") => {
                    let refusal = Refusal {
                        object: file
                            .file_name()
                            .and_then(|n| n.to_str())
                            .unwrap_or_default(),
                        program: &program.name,
                        why: &linux.why,
                        log: &linux.log,
                        reached: &|pc| ours.reached.get(pc).copied().unwrap_or(true),
                    };
                    settings.table.explain(&refusal).map(|c| c.name.clone())
                }
                _ => None,
            };
            outcome.cases.push(Case {
                object: name.clone(),
                program: program.name.clone(),
                section: program.hook.section.clone(),
                features: features.get(i).cloned().unwrap_or_default(),
                linux,
                ours,
                explained,
            });
        }
    }
    if settings.progress {
        eprintln!("\r\x1b[K{} programs", outcome.cases.len());
    }
    Ok(outcome)
}

fn opened(file: &Path) -> Result<Object, String> {
    let bytes = std::fs::read(file).map_err(|e| e.to_string())?;
    let stem = file
        .file_stem()
        .and_then(|s| s.to_str())
        .unwrap_or_default();
    open(stem, &bytes).map_err(|e| e.to_string())
}

/// The last two parts of a path: enough to find it.
fn shown(file: &Path) -> String {
    let parts: Vec<_> = file
        .components()
        .rev()
        .take(2)
        .map(|c| c.as_os_str().to_string_lossy().into_owned())
        .collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
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
    files: &'a [PathBuf],
    /// Function name → files that have it as a global function of some program.
    index: std::cell::OnceCell<BTreeMap<String, Vec<(PathBuf, usize)>>>,
}

impl Replaceable<'_> {
    fn index(&self) -> &BTreeMap<String, Vec<(PathBuf, usize)>> {
        self.index.get_or_init(|| {
            let mut index: BTreeMap<String, Vec<(PathBuf, usize)>> = BTreeMap::new();
            for file in self.files {
                let Ok(object) = opened(file) else { continue };
                for (i, program) in object.programs.iter().enumerate() {
                    let functions = program.subprogs.iter().enumerate();
                    for (_, s) in functions.filter(|(n, s)| *n == 0 || s.global) {
                        let places = index.entry(s.name.clone()).or_default();
                        places.push((file.clone(), i));
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
        for (file, i) in places.iter().take(20) {
            let Ok(object) = opened(file) else { continue };
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
