//! Small programs with managed fields (locks, kernel pointers, lists, trees, timers), each about one rule: `managed.txt`.
//!
//! Types of the programs' own and a kernel's few are built here; `kcall NAME` calls a kernel function,
//! `TYPE(NAME)` is the id of a structure, `GUARDED`, `OTHER`, `PICKED` and `TICKING` stand for lookups that end
//! with a value in r0, `NEW(NAME)` for an allocation of such a structure in r0; without one the program ends.

mod harness;

use std::collections::BTreeMap;
use std::sync::Arc;

use probity_btf::{Btf, BtfBuilder, FuncLinkage, IntEncoding, MemberDef, TypeId};
use probity_objfile::{Object, assemble};
use probity_platform::{Kfunc, KfuncFlag, Platform, Policy, Version};
use probity_verifier::{Options, verify};

const MAPS: &str = "\
.license \"GPL\"
.map guarded kind=array key=4 value=64 max_entries=4
.map others kind=hash key=4 value=64 max_entries=4
.map ticking kind=array key=4 value=24 max_entries=4
.map ticked kind=array key=4 value=24 max_entries=4
.map resilient kind=array key=4 value=16 max_entries=4
.map stripped kind=percpu_array key=4 value=64 max_entries=4
.data shared
.quad 0
.quad 0
.quad 0
.quad 0
.quad 0
.quad 0
.quad 0
.quad 0
";

/// Kernel functions, and how many parameters each has.
const KFUNCS: &[(&str, usize)] = &[
    ("bpf_obj_new_impl", 2),
    ("bpf_obj_drop_impl", 2),
    ("bpf_percpu_obj_new_impl", 2),
    ("bpf_percpu_obj_drop_impl", 2),
    ("bpf_refcount_acquire_impl", 2),
    ("bpf_list_push_front_impl", 4),
    ("bpf_list_pop_front", 1),
    ("bpf_list_front", 1),
    ("bpf_rbtree_add_impl", 5),
    ("bpf_rbtree_remove", 2),
    ("bpf_rbtree_first", 1),
    ("bpf_rbtree_left", 2),
    ("bpf_res_spin_lock", 1),
    ("bpf_res_spin_unlock", 1),
    ("bpf_res_spin_lock_irqsave", 2),
    ("bpf_res_spin_unlock_irqrestore", 2),
    ("bpf_rcu_read_lock", 0),
    ("bpf_rcu_read_unlock", 0),
    (EXPORT, 0),
];

/// What another extension exports.
const EXPORT: &str = "exported";

fn kernel() -> Btf {
    let mut types = BtfBuilder::new();
    let int = types.int("int", 4, IntEncoding::SIGNED);
    types.struct_("task_struct", 64, &[MemberDef::at("pid", int, 0)]);
    types.struct_("file", 64, &[MemberDef::at("flags", int, 0)]);
    for (name, params) in KFUNCS {
        let params = vec![("p", int); *params];
        let proto = types.func_proto(int, &params);
        types.func(name, proto, FuncLinkage::Static);
    }
    types.build().expect("types")
}

/// The programs' types; the ids of structures by name. `odd`: with some that the kernel takes no object with.
fn declare(object: &mut Object, odd: bool) -> BTreeMap<&'static str, TypeId> {
    let mut t = match &object.btf {
        Some(btf) => BtfBuilder::from_btf(btf),
        None => BtfBuilder::new(),
    };
    let word = t.int("long", 8, IntEncoding::UNSIGNED);
    let managed = |t: &mut BtfBuilder, name, size| t.struct_(name, size, &[]);
    let lock = managed(&mut t, "bpf_spin_lock", 4);
    let res_lock = managed(&mut t, "bpf_res_spin_lock", 4);
    let timer = managed(&mut t, "bpf_timer", 16);
    let head = managed(&mut t, "bpf_list_head", 16);
    let node = managed(&mut t, "bpf_list_node", 24);
    let root = managed(&mut t, "bpf_rb_root", 16);
    let leaf = managed(&mut t, "bpf_rb_node", 32);
    let count = managed(&mut t, "bpf_refcount", 4);
    let m = MemberDef::at;
    let plain = t.struct_("plain", 16, &[m("a", word, 0), m("b", word, 8)]);
    let item = t.struct_("item", 32, &[m("data", word, 0), m("node", node, 8)]);
    let branch = t.struct_("branch", 40, &[m("key", word, 0), m("node", leaf, 8)]);
    let counted = [m("key", word, 0), m("node", leaf, 8), m("count", count, 40)];
    let counted = t.struct_("counted", 48, &counted);
    let large = t.array(word, word, 100);
    let large = t.struct_("large", 800, &[m("all", large, 0)]);
    let both = [m("list", node, 0), m("tree", leaf, 24)];
    let both = t.struct_("both", 56, if odd { &both } else { &[] });
    let tagged = |t: &mut BtfBuilder, tag, to| {
        let to = t.type_tag(tag, to);
        t.ptr(to)
    };
    let task = t.struct_("task_struct", 64, &[]);
    let file = t.struct_("file", 64, &[]);
    let to_item = tagged(&mut t, "kptr", item);
    let to_plain = tagged(&mut t, "percpu_kptr", plain);
    let to_task = tagged(&mut t, "kptr_untrusted", task);
    let to_file = tagged(&mut t, "kptr", file);
    let owner = [m("data", word, 0), m("lock", lock, 8), m("head", head, 16)];
    let owner = t.struct_("owner", 32, &owner);
    t.decl_tag("contains:item:node", owner, Some(2));
    let guarded = [
        m("lock", lock, 4),
        m("head", head, 8),
        m("root", root, 24),
        m("item", to_item, 40),
        m("plain", to_plain, 48),
        m("task", to_task, 56),
    ];
    let guarded = t.struct_("guarded", 64, &guarded);
    t.decl_tag("contains:item:node", guarded, Some(1));
    t.decl_tag("contains:branch:node", guarded, Some(2));
    let sharing = [
        m("lock", lock, 4),
        m("root", root, 24),
        m("count", word, 40),
    ];
    let sharing = t.struct_("sharing", 64, &sharing);
    t.decl_tag("contains:counted:node", sharing, Some(1));
    let ticking = t.struct_("ticking", 24, &[m("timer", timer, 8)]);
    let resilient = [m("lock", res_lock, 0), m("data", word, 8)];
    let resilient = t.struct_("resilient", 16, &resilient);
    let stripped = [m("lock", lock, 4), m("file", to_file, 8)];
    let stripped = t.struct_("stripped", 64, &stripped[..if odd { 2 } else { 1 }]);
    for map in &mut object.maps {
        map.value_type = match map.name.as_str() {
            "guarded" => Some(guarded),
            _ if map.data.is_some() => Some(guarded),
            "others" => Some(sharing),
            "ticking" | "ticked" => Some(ticking),
            "resilient" => Some(resilient),
            "stripped" => Some(stripped),
            _ => map.value_type,
        };
    }
    object.btf = Some(Arc::new(t.build().expect("types")));
    BTreeMap::from([
        ("plain", plain),
        ("item", item),
        ("branch", branch),
        ("counted", counted),
        ("large", large),
        ("both", both),
        ("owner", owner),
    ])
}

fn lookup(map: &str, n: usize) -> String {
    format!(
        "*(u32 *)(r10 - 4) = 0\nr1 = map {map} ll\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\n\
         if r0 != 0 goto found{n}\nr0 = 0\nexit\nfound{n}:\n"
    )
}

/// The text with its shorthands spelt out.
fn spell(case: &harness::Case, kernel: &Btf, ids: &BTreeMap<&str, TypeId>) -> String {
    let mut text = format!("{MAPS}.section \"{}\"\nmain:\n", case.section);
    for (n, line) in case.code.lines().enumerate() {
        let expanded = match line {
            "GUARDED" => lookup("guarded", n),
            "OTHER" => lookup("others", n),
            "TICKING" => lookup("ticking", n),
            "PICKED" => lookup("resilient", n),
            "STRIPPED" => lookup("stripped", n),
            _ => {
                let mut line = line.to_string();
                let mut after = String::new();
                if let Some(name) = line.strip_prefix("NEW(") {
                    let name = name.trim_end_matches(')');
                    after = format!(
                        "kcall bpf_obj_new_impl\nif r0 != 0 goto made{n}\nr0 = 0\nexit\nmade{n}:"
                    );
                    line = format!("r1 = TYPE({name})\nr2 = 0");
                }
                for (name, id) in ids {
                    line = line.replace(&format!("TYPE({name})"), &id.0.to_string());
                }
                format!("{line}\n{after}\n")
            }
        };
        for line in expanded.lines() {
            match line.strip_prefix("kcall ") {
                Some(name) => {
                    let id = kernel.find_func(name).expect("a kernel function");
                    text.push_str(&format!("call kfunc[{}, 0]\n", id.0));
                }
                None => {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
    }
    text
}

#[test]
fn managed_memory() {
    let types = Arc::new(kernel());
    let mut platform = Platform::linux(Version(6, 18), Some(types.clone()));
    let mut kfuncs = platform.kfuncs.to_vec();
    let unlock = platform.kfunc("bpf_rcu_read_unlock").expect("a row");
    kfuncs.push(Kfunc {
        name: EXPORT,
        flags: &[KfuncFlag::AnyLicense, KfuncFlag::Executes(9)],
        special: None,
        origin: "extension",
        ..unlock.clone()
    });
    kfuncs.sort_by_key(|k| k.name);
    platform.kfuncs = kfuncs.into();
    let platform = Arc::new(platform);
    harness::judge(
        &harness::cases(include_str!("managed.txt")),
        |_| platform.clone(),
        |case, platform| {
            let odd = case.code.contains("(both)") || case.name.contains("cannot release");
            let make = |ids: &BTreeMap<&'static str, TypeId>| {
                let mut made = harness::assemble(platform, &spell(case, &types, ids))?;
                let ids = declare(&mut made, odd);
                Ok((made, ids))
            };
            // Ids of types do not depend on the code but for what the assembler declares.
            let names = [
                "plain", "item", "branch", "counted", "large", "both", "owner",
            ];
            let (_, ids) = make(&names.map(|name| (name, TypeId(0))).into())?;
            make(&ids).map(|(object, _)| object)
        },
    );
}

/// Types made to take long: every structure has as many lists as it may, tagged over and over.
#[test]
fn hostile_types_end_soon() {
    let types = Arc::new(kernel());
    let platform = Arc::new(Platform::linux(Version(6, 18), Some(types)));
    let text = format!("{MAPS}.section \"tc\"\nmain:\nr1 = map guarded ll\nr0 = 0\nexit\n");
    let mut object = assemble("case", &text, &|_| None).expect("an object");
    let mut t = BtfBuilder::from_btf(object.btf.as_deref().expect("types"));
    let word = t.int("long", 8, IntEncoding::UNSIGNED);
    let head = t.struct_("bpf_list_head", 16, &[]);
    let lock = t.struct_("bpf_spin_lock", 4, &[]);
    let wide: Vec<String> = (0..20_000).map(|i| format!("m{i}")).collect();
    let wide: Vec<_> = wide.iter().map(|n| MemberDef::at(n, word, 0)).collect();
    t.struct_("wide", 8, &wide);
    let mut value = word;
    for _ in 0..1200 {
        let mut members = vec![MemberDef::at("lock", lock, 0)];
        for i in 0..200 {
            members.push(MemberDef::at("h", head, 8 + i * 16));
        }
        value = t.struct_("many", 3208, &members);
        for i in 0..200 {
            t.decl_tag("contains:wide:m19999", value, Some(i + 1));
        }
    }
    for map in object.maps.iter_mut().filter(|m| m.name == "guarded") {
        map.value_type = Some(value);
    }
    object.btf = Some(Arc::new(t.build().expect("types")));
    let report = verify(&object, &platform, &Policy::default(), &Options::default());
    assert!(report.is_ok());
}
