//! The kernel's own instruction-array cases as objects.
//!
//! The cases are data from outside of the project: `PROBITY_SHARED` names the directory that holds
//! `data/verifier/arrays-dev.jsonl.gz`.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use probity_btf::{Btf, BtfBuilder, IntEncoding, MemberDef, TypeId};
use probity_isa::{RawInsn, from_bytes};
use probity_objfile::{AttachType, Hook, Map, Object, ProgType, Program, Target};
use probity_platform::Platform;
use serde_json::Value;

/// `BPF_F_STRICT_ALIGNMENT` among a case's flags.
pub const STRICT_ALIGNMENT: u64 = 1;
const SLEEPABLE: u64 = 16;

/// Types of the values of maps with special fields.
struct Types {
    btf: Arc<Btf>,
    int: TypeId,
    /// `struct { int cnt; struct bpf_spin_lock l; }`
    locked: TypeId,
    /// `struct { struct bpf_timer t; }`
    timed: TypeId,
}

impl Types {
    fn new() -> Result<Types, String> {
        let mut b = BtfBuilder::new();
        let int = b.int("int", 4, IntEncoding::SIGNED);
        let word = b.int("unsigned int", 4, IntEncoding::UNSIGNED);
        let long = b.int("unsigned long", 8, IntEncoding::UNSIGNED);
        let lock = b.struct_("bpf_spin_lock", 4, &[MemberDef::at("val", word, 0)]);
        let members = [MemberDef::at("cnt", int, 0), MemberDef::at("l", lock, 4)];
        let locked = b.struct_("val", 8, &members);
        let members = [MemberDef::at("a", long, 0), MemberDef::at("b", long, 8)];
        let timer = b.struct_("bpf_timer", 16, &members);
        let timed = b.struct_("timer", 16, &[MemberDef::at("t", timer, 0)]);
        let btf = b.build().map_err(|e| e.to_string())?;
        Ok(Types {
            btf: Arc::new(btf),
            int,
            locked,
            timed,
        })
    }
}

/// The cases, where `PROBITY_SHARED` names the directory that has them.
pub fn cases() -> Option<Vec<Value>> {
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

fn fixture(fixup: &str, types: &Types) -> Option<Map> {
    let name = fixup.strip_prefix("fixup_").unwrap_or(fixup);
    let name = name.strip_prefix("map_").unwrap_or(name);
    Some(match name {
        "hash_8b" => Map::new(name, 1, 8, 8, 1),
        "hash_16b" => Map::new(name, 1, 8, 16, 1),
        "hash_48b" => Map::new(name, 1, 8, 48, 1),
        "array_48b" => Map::new(name, 2, 4, 48, 1),
        "array_ro" => Map {
            flags: 1 << 7,
            ..Map::new(name, 2, 4, 48, 1)
        },
        "array_wo" => Map {
            flags: 1 << 8,
            ..Map::new(name, 2, 4, 48, 1)
        },
        "array_small" => Map::new(name, 2, 4, 1, 1),
        "prog1" => Map::new(name, 3, 4, 4, 4),
        "prog2" => Map::new(name, 3, 4, 4, 8),
        "in_map" => Map {
            inner: Some(Box::new(Map::new("inner", 2, 4, 4, 1))),
            ..Map::new(name, 12, 4, 4, 1)
        },
        "event_output" => Map::new(name, 4, 4, 4, 1),
        "ringbuf" => Map::new(name, 27, 0, 0, 4096),
        "sockmap" => Map::new(name, 15, 4, 4, 1),
        "sockhash" => Map::new(name, 18, 4, 4, 1),
        "xskmap" => Map::new(name, 17, 4, 4, 1),
        "stacktrace" => Map::new(name, 7, 4, 8, 1),
        "cgroup_storage" => Map::new(name, 19, 16, 64, 0),
        "percpu_cgroup_storage" => Map::new(name, 21, 16, 64, 0),
        "reuseport_array" => Map::new(name, 20, 4, 8, 1),
        "sk_storage" => Map {
            flags: 1,
            ..Map::new(name, 24, 4, 8, 0)
        },
        "spin_lock" => Map {
            key_type: Some(types.int),
            value_type: Some(types.locked),
            ..Map::new(name, 2, 4, 8, 1)
        },
        "timer" => Map {
            key_type: Some(types.int),
            value_type: Some(types.timed),
            ..Map::new(name, 2, 4, 16, 1)
        },
        _ => return None,
    })
}

/// A case as an object of one program, `case`.
pub fn object(case: &Value, platform: &Platform) -> Result<Object, String> {
    let hex = case["insns"].as_str().unwrap_or_default();
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|i| u8::from_str_radix(&hex[i * 2..i * 2 + 2], 16).expect("hex"))
        .collect();
    let mut insns: Vec<RawInsn> = from_bytes(&bytes).map_err(|e| e.to_string())?;
    let types = Types::new()?;
    let mut maps = Vec::new();
    for (fixup, places) in case["fixups"].as_object().into_iter().flatten() {
        let Some(map) = fixture(fixup, &types) else {
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
    Ok(Object {
        name: "case".to_string(),
        elf: Arc::from([]),
        license: Some("GPL".to_string()),
        kernel_version: None,
        programs: vec![program],
        maps,
        btf: Some(types.btf),
        externs: Vec::new(),
        struct_ops: Vec::new(),
    })
}
