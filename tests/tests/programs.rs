//! Every object of `programs/` is accepted, every one of `programs/unsafe/` is rejected for the
//! marked rule at the marked line. (That the running kernel agrees is the matter of `agree.rs`.)

use std::path::{Path, PathBuf};
use std::sync::Arc;

use probity_btf::Btf;
use probity_objfile::Object;
use probity_platform::{Platform, Policy, Version};
use probity_tests::{marks, programs};
use probity_verifier::{Options, Prepared, ProgramReport, Report, Verdict, verify};

fn platform() -> Arc<Platform> {
    let types = std::fs::read("/sys/kernel/btf/vmlinux")
        .ok()
        .map(|b| Arc::new(Btf::parse(&b).unwrap()));
    if types.is_none() {
        println!("no kernel types here: programs with CO-RE are left out");
    }
    Arc::new(Platform::linux(Version(6, 18), types))
}

fn open(path: &Path, platform: &Platform) -> Object {
    let stem = path.file_stem().unwrap().to_string_lossy();
    if path.extension().is_some_and(|x| x == "s") {
        let text = std::fs::read_to_string(path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy();
        return probity_objfile::assemble(&name, &text, &|h| {
            platform.helper_by_name(h).map(|h| h.id)
        })
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    probity_objfile::open(&stem, &std::fs::read(path).unwrap())
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn report(path: &Path, platform: &Arc<Platform>) -> Option<Report> {
    let object = open(path, platform);
    let core = object.programs.iter().any(|p| !p.core_relocs.is_empty());
    if core && platform.types.is_none() {
        return None;
    }
    Some(verify(&object, platform, &Policy::default(), &Options::default()).unwrap())
}

fn safe() -> Vec<PathBuf> {
    let mut all = programs("", "o");
    all.extend(programs("", "s"));
    all
}

fn broken() -> Vec<PathBuf> {
    let mut all = programs("unsafe", "o");
    all.extend(programs("unsafe", "s"));
    all
}

#[test]
fn programs_are_accepted() {
    let platform = platform();
    let all = safe();
    assert!(all.len() >= 8, "only {} programs", all.len());
    for path in all {
        let Some(report) = report(&path, &platform) else {
            continue;
        };
        assert!(
            !report.programs.is_empty(),
            "{} holds no programs",
            path.display()
        );
        for p in &report.programs {
            if let Verdict::Reject(r) = &p.verdict {
                panic!("{} {}: {r}", path.display(), p.name);
            }
        }
    }
}

#[test]
fn unsafe_programs_are_rejected_where_they_are_wrong() {
    let platform = platform();
    let all = broken();
    assert!(all.len() >= 30, "only {} unsafe programs", all.len());
    let mut wrong = Vec::new();
    for path in all {
        let Some(report) = report(&path, &platform) else {
            continue;
        };
        let mark = marks::read(&marks::source(&path));
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let rejections: Vec<_> = report
            .programs
            .iter()
            .filter_map(|p| match &p.verdict {
                Verdict::Reject(r) => Some(r),
                Verdict::Accept(_) => None,
            })
            .collect();
        match rejections[..] {
            [r] => {
                let line = r.line.as_ref().map(|l| l.line);
                if r.rule.name() != mark.rule || line != Some(mark.line) {
                    let found = r.rule.name();
                    wrong.push(format!(
                        "{name}: marked {} at {}, rejected as {found} at {line:?}",
                        mark.rule, mark.line
                    ));
                }
            }
            [] => wrong.push(format!("{name}: accepted")),
            _ => wrong.push(format!("{name}: several rejections")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All that a verdict says, but for the time that it took.
fn said(report: &ProgramReport) -> String {
    let mut stats = report.stats;
    stats.time_ns = 0;
    let verdict = match &report.verdict {
        Verdict::Accept(v) => format!("{:?} {:?}", v.insns(), v.facts()),
        Verdict::Reject(r) => format!("{r:?}"),
    };
    format!("{} {stats:?} {verdict}", report.name)
}

/// What an object keeps for all of its programs says nothing of which were verified before.
#[test]
fn verdicts_do_not_depend_on_what_was_verified_before() {
    let platform = platform();
    let mut several = 0;
    for path in safe().into_iter().chain(broken()) {
        let object = open(&path, &platform);
        let prepared =
            || Prepared::new(&object, &platform, &Policy::default(), &Options::default()).unwrap();
        let of = |prepared: &Prepared, index| said(&prepared.verify(index).unwrap());
        let count = object.programs.len();
        several += usize::from(count > 1);
        let alone: Vec<String> = (0..count).map(|i| of(&prepared(), i)).collect();
        let shared = prepared();
        for index in (0..count).chain((0..count).rev()) {
            assert_eq!(of(&shared, index), alone[index], "{}", path.display());
        }
        let backwards = prepared();
        for index in (0..count).rev() {
            assert_eq!(of(&backwards, index), alone[index], "{}", path.display());
        }
    }
    assert!(several >= 5, "only {several} objects of several programs");
}
