//! Assembly text → object → verified instance, for tests.

#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::Arc;

use probity_isa::{Content, Imm64, Insn, LabelKind, RefKind};
use probity_objfile as objfile;
use probity_platform::Policy;
use probity_runtime::{Instance, Options, platform};

/// The verified programs of an assembly file, one a section, ready to run.
pub fn instance(text: &str, options: Options) -> Arc<Instance> {
    try_instance(text, options).unwrap_or_else(|r| panic!("rejected: {r}"))
}

/// The same, or why the first program that is not accepted is not.
pub fn try_instance(
    text: &str,
    options: Options,
) -> Result<Arc<Instance>, Box<probity_verifier::Rejection>> {
    let platform = Arc::new(platform(None));
    let object = object(text, &platform);
    let settings = probity_verifier::Options::default();
    let report = probity_verifier::verify(&object, &platform, &Policy::default(), &settings)
        .expect("verification");
    for p in &report.programs {
        if let probity_verifier::Verdict::Reject(r) = &p.verdict {
            return Err(r.clone());
        }
    }
    let verified = report.into_verified().expect("all accepted");
    Ok(Arc::new(
        Instance::new(Arc::new(verified), options).expect("an instance"),
    ))
}

pub fn object(text: &str, platform: &probity_platform::Platform) -> objfile::Object {
    let helper = |name: &str| platform.helper_by_name(name).map(|h| h.id);
    let assembly = probity_isa::assemble(text, &helper).expect("assembly");
    let mut maps: Vec<objfile::Map> = assembly
        .maps
        .iter()
        .map(|m| {
            let kind = platform.map_kind_by_name(&m.kind).expect("a map kind").kind;
            let mut map = objfile::Map::new(&m.name, kind, m.key_size, m.value_size, m.max_entries);
            map.flags = m.flags;
            map
        })
        .collect();
    // `programs=a,b` would be an initialiser; tests fill program arrays through the instance.
    for section in &assembly.sections {
        let Content::Data(bytes) = &section.content else {
            continue;
        };
        if !section.name.starts_with(".rodata") && !section.name.starts_with(".data") {
            continue;
        }
        let kind = if section.name.starts_with(".rodata") {
            objfile::DataKind::Rodata
        } else {
            objfile::DataKind::Data
        };
        let mut map = objfile::Map::new(&section.name, 2, 4, bytes.len() as u32, 1);
        if kind == objfile::DataKind::Rodata {
            map.flags = 1 << 7;
        }
        map.data = Some(objfile::DataSection {
            kind,
            section: section.name.clone(),
            bytes: bytes.clone(),
            datasec: None,
        });
        maps.push(map);
    }
    let mut programs = Vec::new();
    for section in &assembly.sections {
        let Content::Code { insns, .. } = &section.content else {
            continue;
        };
        let mut insns = insns.clone();
        for r in &section.refs {
            let pc = (r.offset / 8) as usize;
            let Insn::LoadImm64 { imm, .. } = &mut insns[pc] else {
                panic!("{r:?}")
            };
            *imm = match r.kind {
                RefKind::Map => {
                    Imm64::MapIdx(maps.iter().position(|m| m.name == r.name).expect("a map") as u32)
                }
                RefKind::Address => {
                    if let Some(label) = section.labels.iter().find(|l| l.name == r.name) {
                        Imm64::Func {
                            rel: (label.offset / 8) as i32 - pc as i32 - 1,
                        }
                    } else {
                        let (of, label) = assembly
                            .sections
                            .iter()
                            .find_map(|s| Some((s, s.labels.iter().find(|l| l.name == r.name)?)))
                            .expect("data");
                        let index = maps
                            .iter()
                            .position(|m| m.name == of.name)
                            .expect("a data section") as u32;
                        Imm64::MapIdxValue {
                            index,
                            off: (label.offset as i64 + r.addend) as u32,
                        }
                    }
                }
                _ => panic!("{r:?}"),
            };
        }
        let functions: Vec<_> = section
            .labels
            .iter()
            .filter(|l| l.kind == LabelKind::Function)
            .collect();
        let subprogs = functions
            .iter()
            .enumerate()
            .map(|(n, l)| objfile::Subprog {
                name: l.name.clone(),
                start: (l.offset / 8) as usize,
                end: functions
                    .get(n + 1)
                    .map_or(insns.len(), |l| (l.offset / 8) as usize),
                func: None,
                global: false,
            })
            .collect();
        programs.push(objfile::Program {
            name: functions.first().expect("a label").name.clone(),
            hook: objfile::Hook::parse(&section.name),
            insns: probity_isa::encode(&insns).expect("encodable"),
            subprogs,
            lines: Vec::new(),
            core_relocs: Vec::new(),
            extern_refs: Vec::new(),
            jump_tables: Vec::new(),
            exception_cb: None,
        });
    }
    objfile::Object {
        name: "test".into(),
        elf: Arc::from(&[][..]),
        license: Some("Dual MIT/GPL".into()),
        kernel_version: None,
        programs,
        maps,
        btf: None,
        externs: Vec::new(),
        struct_ops: Vec::new(),
    }
}
