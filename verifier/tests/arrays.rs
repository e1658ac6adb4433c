//! The kernel's own instruction-array cases, verdict against verdict.
//!
//! The cases are data from outside of the project: `PROBITY_SHARED` names the directory that holds
//! `data/verifier/arrays-dev.jsonl.gz`; without it the test says so and ends.
//! `PROBITY_ARRAYS_CASE=TEXT` tells all about the cases whose name holds TEXT; `PROBITY_ARRAYS_LIST=1` lists disagreements.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use probity_isa::{RawInsn, from_bytes};
use probity_objfile::{AttachType, DataKind, Hook, Map, Object, ProgType, Program, Target};
use probity_platform::{Platform, Policy, Version};
use probity_verifier::{Options, Verdict, verify};
use serde_json::Value;

/// Accepted by us and refused by Linux 6.18, with the reason why that is safe.
const EXPLAINED: &[(&str, &str)] = &[];

const STRICT_ALIGNMENT: u64 = 1;
const SLEEPABLE: u64 = 16;

fn cases() -> Option<Vec<Value>> {
    let shared = std::env::var_os("PROBITY_SHARED")?;
    let path = PathBuf::from(shared).join("data/verifier/arrays-dev.jsonl.gz");
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut text = String::new();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .expect("the cases are gzipped text");
    Some(
        text.lines()
            .map(|l| serde_json::from_str(l).expect("a case a line"))
            .collect(),
    )
}

fn map(name: &str, kind: u32, key_size: u32, value_size: u32, max_entries: u32) -> Map {
    Map {
        name: name.to_string(),
        kind,
        key_size,
        value_size,
        max_entries,
        flags: 0,
        map_extra: 0,
        numa_node: None,
        pinned: false,
        key_type: None,
        value_type: None,
        data: None,
        inner: None,
        initial: Vec::new(),
    }
}

fn fixture(fixup: &str) -> Option<Map> {
    let name = fixup.strip_prefix("fixup_").unwrap_or(fixup);
    let name = name.strip_prefix("map_").unwrap_or(name);
    Some(match name {
        "hash_8b" => map(name, 1, 8, 8, 1),
        "hash_16b" => map(name, 1, 8, 16, 1),
        "hash_48b" => map(name, 1, 8, 48, 1),
        "array_48b" => map(name, 2, 4, 48, 1),
        "array_ro" => Map {
            flags: 1 << 7,
            ..map(name, 2, 4, 48, 1)
        },
        "array_wo" => Map {
            flags: 1 << 8,
            ..map(name, 2, 4, 48, 1)
        },
        "array_small" => map(name, 2, 4, 1, 1),
        "prog1" => map(name, 3, 4, 4, 4),
        "prog2" => map(name, 3, 4, 4, 8),
        "in_map" => Map {
            inner: Some(Box::new(map("inner", 2, 4, 4, 1))),
            ..map(name, 12, 4, 4, 1)
        },
        "event_output" => map(name, 4, 4, 4, 1),
        "ringbuf" => map(name, 27, 0, 0, 4096),
        "sockmap" => map(name, 15, 4, 4, 1),
        "sockhash" => map(name, 18, 4, 4, 1),
        "xskmap" => map(name, 17, 4, 4, 1),
        "stacktrace" => map(name, 7, 4, 8, 1),
        "cgroup_storage" => map(name, 19, 16, 64, 0),
        "percpu_cgroup_storage" => map(name, 21, 16, 64, 0),
        "reuseport_array" => map(name, 20, 4, 8, 1),
        "sk_storage" => Map {
            flags: 1,
            ..map(name, 24, 4, 8, 0)
        },
        _ => return None,
    })
}

fn object(case: &Value, platform: &Platform) -> Result<Object, String> {
    let hex = case["insns"].as_str().unwrap_or_default();
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|i| u8::from_str_radix(&hex[i * 2..i * 2 + 2], 16).expect("hex"))
        .collect();
    let mut insns: Vec<RawInsn> = from_bytes(&bytes).map_err(|e| e.to_string())?;
    let mut maps = Vec::new();
    for (fixup, places) in case["fixups"].as_object().into_iter().flatten() {
        let Some(map) = fixture(fixup) else {
            return Err(format!("fixture {fixup}"));
        };
        for pc in places
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_u64)
        {
            let insn = &mut insns[pc as usize];
            insn.src = if insn.src == 2 { 6 } else { 5 };
            insn.imm = maps.len() as i32;
        }
        maps.push(map);
    }
    if case["kfunc_fixups"]
        .as_array()
        .is_some_and(|k| !k.is_empty())
    {
        return Err("kfuncs of a test module".to_string());
    }
    let kind = case["prog_type"].as_str().unwrap_or_default();
    let prog_type = platform.prog_kind_by_name(kind).map(|k| ProgType(k.kind));
    let attach = case["expected_attach_type"].as_u64().unwrap_or(0);
    let attach_type = (attach != 0).then_some(AttachType(attach as u32));
    let hook = Hook {
        section: kind.to_string(),
        optional: false,
        frags: false,
        sleepable: case["pflags"].as_u64().unwrap_or(0) & SLEEPABLE != 0,
        prog_type,
        attach_type,
        target: Target::None,
    };
    let program = Program {
        name: "case".to_string(),
        hook,
        insns,
        subprogs: Vec::new(),
        lines: Vec::new(),
        core_relocs: Vec::new(),
        extern_refs: Vec::new(),
        jump_tables: Vec::new(),
        exception_cb: None,
    };
    let _ = DataKind::Bss;
    Ok(Object {
        name: "case".to_string(),
        elf: Arc::from([]),
        license: Some("GPL".to_string()),
        kernel_version: None,
        programs: vec![program],
        maps,
        btf: None,
        externs: Vec::new(),
        struct_ops: Vec::new(),
    })
}

#[test]
fn agrees_with_linux() {
    let Some(cases) = cases() else {
        eprintln!("skipped: PROBITY_SHARED does not name the directory of the cases");
        return;
    };
    let platform = Arc::new(Platform::linux(Version(6, 18), None));
    let only = std::env::var("PROBITY_ARRAYS_CASE").ok();
    let list = std::env::var_os("PROBITY_ARRAYS_LIST").is_some();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut features: BTreeMap<String, usize> = BTreeMap::new();
    let mut unsound = Vec::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap_or_default();
        if only.as_ref().is_some_and(|o| !name.contains(o.as_str())) {
            continue;
        }
        let linux = case["linux_6_18"]["verdict"] == "accept";
        let options = Options {
            strict_alignment: case["pflags"].as_u64().unwrap_or(0) & STRICT_ALIGNMENT != 0,
            log_states: if only.is_some() { 1000 } else { 0 },
            ..Options::default()
        };
        let report = match object(case, &platform) {
            Ok(object) => {
                verify(&object, &platform, &Policy::default(), &options).expect("a report")
            }
            Err(why) => {
                *features.entry(why).or_default() += 1;
                *counts.entry("not a case for us").or_default() += 1;
                continue;
            }
        };
        let p = &report.programs[0];
        let text = match &p.verdict {
            Verdict::Accept(_) => "accepted".to_string(),
            Verdict::Reject(r) => r.to_string(),
        };
        if only.is_some() {
            eprintln!(
                "== {name} ({}), Linux accepts: {linux}, says {}",
                p.prog_type, case["errstr"]
            );
            let insns = probity_isa::decode(report.relocated().object.programs[0].insns.as_slice())
                .unwrap_or_default();
            for (pc, insn) in insns.iter().enumerate() {
                eprintln!("{pc:4}: {insn}");
            }
            for (pc, state) in &p.log {
                eprintln!("{pc:4}:{state}");
            }
            eprintln!("{text}");
        }
        let outcome = match (p.verdict.name(), linux) {
            ("accept", true) => "accepted by both",
            ("reject", false) => "rejected by both",
            ("unsupported", accepted) => {
                if let Verdict::Reject(r) = &p.verdict {
                    *features.entry(r.must.clone()).or_default() += 1;
                }
                if accepted {
                    "unsupported, Linux accepts"
                } else {
                    "unsupported, Linux rejects"
                }
            }
            ("accept", false) => {
                if !EXPLAINED.iter().any(|(n, _)| *n == name) {
                    unsound.push(format!(
                        "{name} [{}]: Linux: {}",
                        p.prog_type, case["errstr"]
                    ));
                }
                "accepted, Linux rejects"
            }
            _ => {
                if list {
                    eprintln!("- {name} [{}]: {text}", p.prog_type);
                }
                "rejected, Linux accepts"
            }
        };
        *counts.entry(outcome).or_default() += 1;
    }
    eprintln!("{counts:#?}");
    eprintln!("unsupported: {features:#?}");
    for u in &unsound {
        eprintln!("ACCEPTED, LINUX REJECTS: {u}");
    }
    assert!(
        unsound.is_empty(),
        "{} cases accepted that Linux rejects",
        unsound.len()
    );
}
