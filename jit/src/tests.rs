//! What is compiled is data: the same for every instance, without an address of this process.

use std::sync::Arc;

use probity_platform::{Platform, Policy};
use probity_runtime::{Instance, platform};
use probity_verifier::Verified;

use crate::Options;
use crate::compile::{self, Stage};
use crate::target::Target;

pub(crate) fn assemble(platform: &Platform, name: &str, text: &str) -> probity_objfile::Object {
    let helper = |name: &str| {
        let name = name.strip_prefix("bpf_").unwrap_or(name);
        let row = platform.helpers.iter().find(|h| h.name == name);
        row.map(|h| h.id)
    };
    probity_objfile::assemble(name, text, &helper).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The proofs of the engine suite's cases that are accepted, by file name.
pub(crate) fn suite() -> Vec<(String, Arc<Verified>)> {
    let platform = Arc::new(platform(None));
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/engine");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("the engine suite")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "s"))
        .collect();
    files.sort();
    let mut out = Vec::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(&file).expect("a text");
        if let Some(v) = prove(&platform, &name, &text) {
            out.push((name.into_owned(), v));
        }
    }
    assert!(out.len() > 10, "{} cases are accepted", out.len());
    out
}

pub(crate) fn prove(platform: &Arc<Platform>, name: &str, text: &str) -> Option<Arc<Verified>> {
    let object = assemble(platform, name, text);
    let options = probity_verifier::Options::default();
    let report = probity_verifier::verify(&object, platform, &Policy::default(), &options);
    let (verified, _) = report
        .unwrap_or_else(|e| panic!("{name}: {e}"))
        .into_partial();
    (!verified.programs().is_empty()).then(|| Arc::new(verified))
}

pub(crate) fn instance(verified: &Arc<Verified>) -> Arc<Instance> {
    seeded(verified, 0)
}

/// An instance whose maps hash differently.
fn seeded(verified: &Arc<Verified>, seed: u64) -> Arc<Instance> {
    let options = probity_runtime::Options {
        seed,
        ..Default::default()
    };
    Arc::new(Instance::new(verified.clone(), options).expect("an instance"))
}

#[test]
fn code_is_the_same_for_every_instance() {
    let target = Target::host(&Options::default()).expect("a target");
    for (name, verified) in suite() {
        let (one, two) = (seeded(&verified, 1), seeded(&verified, 2));
        let one = compile::compile(&one, &target).expect("code");
        let two = compile::compile(&two, &target).expect("code");
        assert_eq!(one, two, "{name}");
    }
}

#[test]
fn code_holds_no_address_of_this_process() {
    let target = Target::host(&Options::default()).expect("a target");
    let cases: Vec<_> = suite()
        .into_iter()
        .map(|(name, v)| (name, instance(&v)))
        .collect();
    let maps = std::fs::read_to_string("/proc/self/maps").expect("procfs");
    let ranges: Vec<(u64, u64)> = maps
        .lines()
        .filter_map(|l| l.split_once(' ')?.0.split_once('-'))
        .map(|(s, e)| (number(s), number(e)))
        .collect();
    let mut constants = 0;
    for (name, instance) in &cases {
        for n in 0..instance.programs().len() {
            let clif = compile::dump(instance, &target, n, Stage::Clif).expect("a text");
            for word in clif.split("iconst.i64 ").skip(1) {
                let digits: String = word
                    .split_whitespace()
                    .next()
                    .unwrap_or("")
                    .replace('_', "");
                let Some(hex) = digits.strip_prefix("0x") else {
                    continue;
                };
                let v = number(hex);
                constants += 1;
                assert!(
                    !ranges.iter().any(|(s, e)| (*s..*e).contains(&v)),
                    "{name}: {v:#x} is an address"
                );
            }
        }
    }
    println!("{constants} constants of {} cases", cases.len());
    assert!(constants > 0);
}

fn number(hex: &str) -> u64 {
    u64::from_str_radix(hex, 16).unwrap_or(0)
}
