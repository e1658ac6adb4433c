//! The compiled fixtures of `tests/data`, read and checked for content; the same sources compiled
//! for every cpu version where clang 22 is.

use std::path::{Path, PathBuf};
use std::process::Command;

use probity_objfile::{
    DataKind, ExternKind, Initial, Object, ProgType, RelocTarget, Target, open, parse_kconfig,
    relocate, write,
};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn fixture(name: &str) -> Object {
    let bytes = std::fs::read(data(name)).expect("the fixture is committed");
    open(name, &bytes).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn map<'a>(o: &'a Object, name: &str) -> &'a probity_objfile::Map {
    o.maps
        .iter()
        .find(|m| m.name == name)
        .unwrap_or_else(|| panic!("no map {name}"))
}

/// Name, section and subprograms of each program.
fn shape(o: &Object) -> Vec<(String, String, Vec<String>)> {
    o.programs
        .iter()
        .map(|p| {
            let subs = p.subprogs.iter().skip(1).map(|s| s.name.clone()).collect();
            (p.name.clone(), p.hook.section.clone(), subs)
        })
        .collect()
}

#[test]
fn map_attributes_and_initial_values() {
    let o = fixture("maps.o");
    let btf = o.btf.as_deref().unwrap();
    let hash = map(&o, "hash");
    assert_eq!(
        (hash.kind, hash.key_size, hash.value_size, hash.max_entries),
        (1, 8, 8, 128)
    );
    assert_eq!((hash.flags, hash.numa_node), (5, Some(1)));
    assert_eq!(
        hash.key_type.map(|id| btf.type_name(id)).as_deref(),
        Some("struct key")
    );
    let pinned = map(&o, "pinned");
    assert!(pinned.pinned && pinned.key_type.is_none() && pinned.value_size == 12);
    assert_eq!(
        map(&o, "ring").max_entries,
        8192,
        "rounded up to a power of two of pages"
    );
    assert_eq!(map(&o, "bloom").map_extra, 3);
    let outer = map(&o, "outer");
    let at = |name: &str| o.maps.iter().position(|m| m.name == name).unwrap();
    let slots = [
        (0, Initial::Map(at("inner_b"))),
        (3, Initial::Map(at("inner_a"))),
    ];
    assert_eq!(outer.initial, slots);
    assert_eq!(
        outer
            .inner
            .as_ref()
            .map(|m| (m.kind, m.max_entries, m.value_size)),
        Some((2, 1, 4))
    );
    assert_eq!(
        map(&o, "progs").initial,
        [(1, Initial::Program("tail".into()))]
    );
    assert_eq!(o.license.as_deref(), Some("GPL"));
}

#[test]
fn subprograms_follow_in_order_of_reference() {
    let o = fixture("calls.o");
    let subs = |names: &[&str]| names.iter().map(|s| s.to_string()).collect::<Vec<_>>();
    assert_eq!(
        shape(&o),
        [
            (
                "first".into(),
                "tc".into(),
                subs(&["callback", "global_leaf", "leaf", "hidden_leaf"])
            ),
            ("second".into(), "tc".into(), subs(&["global_leaf", "leaf"])),
            ("third".into(), "?kprobe/vfs_read".into(), subs(&["leaf"])),
        ]
    );
    let first = &o.programs[0];
    let global: Vec<_> = first.subprogs.iter().map(|s| s.global).collect();
    assert_eq!(
        global,
        [true, false, true, false, false],
        "hidden functions are as good as static"
    );
    assert!(o.programs[2].hook.optional);
    for p in &o.programs {
        for s in &p.subprogs {
            assert!(s.func.is_some(), "{} has a type", s.name);
            let line = p
                .lines
                .iter()
                .find(|l| l.pc == s.start)
                .expect("each function begins with a line");
            assert!(line.file.ends_with("calls.c") && line.line > 0, "{line:?}");
        }
        assert!(p.lines.is_sorted_by_key(|l| l.pc));
        // Each call reaches the start of a subprogram.
        for (pc, i) in p.insns.iter().enumerate() {
            if i.opcode == 0x85 && i.src == 1 || i.opcode == 0x18 && i.src == 4 {
                let to = (pc as i64 + 1 + i64::from(i.imm)) as usize;
                assert!(
                    p.subprogs.iter().any(|s| s.start == to),
                    "{}: {pc} → {to}",
                    p.name
                );
            }
        }
    }
    assert!(
        first.insns.iter().any(|i| i.opcode == 0x18 && i.src == 4),
        "bpf_loop's callback"
    );
}

#[test]
fn data_sections_and_externs() {
    let o = fixture("data.o");
    let rodata = map(&o, ".rodata").data.clone().unwrap();
    assert_eq!(rodata.kind, DataKind::Rodata);
    assert!(rodata.bytes.windows(4).any(|w| w == 42u32.to_le_bytes()));
    assert_eq!(
        map(&o, ".data.custom").data.as_ref().unwrap().bytes,
        77u32.to_le_bytes()
    );
    assert_eq!(map(&o, ".data").value_size, 8);
    let bss = map(&o, ".bss");
    assert!(bss.value_size >= 408 && bss.data.as_ref().unwrap().bytes.iter().all(|&b| b == 0));
    assert!(
        map(&o, ".rodata.str1.1")
            .data
            .as_ref()
            .unwrap()
            .bytes
            .starts_with(b"a literal\0")
    );
    assert_eq!(o.kernel_version, Some(0x060c00));
    let kind = |name: &str| o.externs.iter().find(|e| e.name == name).unwrap().kind;
    assert!(matches!(
        kind("LINUX_KERNEL_VERSION"),
        ExternKind::Kconfig {
            offset: 8,
            size: 4,
            ..
        }
    ));
    assert!(matches!(
        kind("CONFIG_NOT_THERE"),
        ExternKind::Kconfig {
            offset: 0,
            size: 8,
            ..
        }
    ));
    assert_eq!(
        kind("bpf_prog_array_free"),
        ExternKind::Ksym { typed: false }
    );
    assert_eq!(kind("cpu_number"), ExternKind::Ksym { typed: true });
    assert_eq!(kind("no_such_kfunc"), ExternKind::Kfunc);
    assert_eq!(
        o.programs[0].hook.target,
        Target::RawTracepoint {
            name: "sys_enter".into()
        }
    );
}

#[test]
fn externs_are_resolved() {
    let o = fixture("data.o");
    let config = parse_kconfig("CONFIG_BPF=y\nCONFIG_DEFAULT_HOSTNAME=\"(none)\"\n");
    let types = probity_btf::Btf::default();
    let ksyms = |name: &str| (name == "bpf_prog_array_free").then_some(0xffff_ffff_8123_4567);
    let target = RelocTarget {
        types: Some(&types),
        kernel_version: 6 << 16 | 18 << 8,
        kconfig: Some(&config),
        ksyms: Some(&ksyms),
    };
    let r = relocate(&o, &target).unwrap();
    assert_eq!(r.failed, [None]);
    let bytes = &map(&r.object, ".kconfig").data.as_ref().unwrap().bytes;
    assert_eq!(bytes[8..12], (6u32 << 16 | 18 << 8).to_le_bytes());
    assert!(bytes.windows(7).any(|w| w == b"(none)\0"));
    let p = &r.object.programs[0];
    assert!(p.extern_refs.is_empty() && r.object.externs.is_empty());
    let address =
        |i: usize| u64::from(p.insns[i].imm as u32) | u64::from(p.insns[i + 1].imm as u32) << 32;
    let wide = (0..p.insns.len()).filter(|&i| p.insns[i].opcode == 0x18 && p.insns[i].src == 0);
    assert!(wide.map(address).any(|a| a == 0xffff_ffff_8123_4567));
    // The weak function that is not there is a call that nobody may reach.
    assert_eq!(r.poisoned[0].len(), 1);
    assert!(r.poisoned[0][0].what.contains("no_such_kfunc"));
    assert!(p.insns[r.poisoned[0][0].pc].imm >= 2_002_000_000);
    // What is known now is written as constants.
    let again = open("data", &write(&r.object).unwrap()).unwrap();
    assert_eq!(
        map(&again, ".rodata.kconfig").data.as_ref().unwrap().bytes,
        *bytes
    );
    assert_eq!(again.programs[0].insns, p.insns);

    let nothing = relocate(&o, &RelocTarget::default()).unwrap();
    assert!(
        nothing.failed[0].is_some(),
        "the version of the kernel is needed"
    );
}

/// Types of a made-up kernel.
fn kernel() -> probity_btf::Btf {
    use probity_btf::{BtfBuilder, IntEncoding, MemberDef};
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::SIGNED);
    let task = probity_btf::TypeId(b.next_id().0 + 1);
    let pointer = b.ptr(task);
    let members = [
        MemberDef::at("tgid", int, 100),
        MemberDef::at("pid", int, 104),
        MemberDef::at("group_leader", pointer, 208),
    ];
    b.struct_("task_struct", 4000, &members);
    b.enum_("bpf_map_type", 4, false, &[("BPF_MAP_TYPE_ARRAY", 2)]);
    b.build().unwrap()
}

#[test]
fn core_relocations() {
    let o = fixture("core.o");
    let types = kernel();
    let target = RelocTarget {
        types: Some(&types),
        ..RelocTarget::default()
    };
    let r = relocate(&o, &target).unwrap();
    assert_eq!(r.failed, [None, None]);
    let by_name = |name: &str| {
        r.object
            .programs
            .iter()
            .position(|p| p.name == name)
            .unwrap()
    };
    let (program, poisoned) = (by_name("program"), by_name("poisoned"));
    assert!(r.poisoned[program].is_empty(), "{:?}", r.poisoned[program]);
    let p = &r.object.programs[program];
    let original = o.program("program").unwrap();
    let changed: Vec<i32> = original
        .core_relocs
        .iter()
        .map(|c| p.insns[c.pc].imm)
        .collect();
    for want in [100, 208, 4000, 4, 2] {
        assert!(changed.contains(&want), "{want} in {changed:?}");
    }
    let bad = &r.poisoned[poisoned];
    assert_eq!(bad.len(), 1);
    assert!(bad[0].what.contains("no_such_field"), "{bad:?}");
    assert_eq!(
        r.object.programs[poisoned].insns[bad[0].pc].imm,
        195_896_080
    );

    let without = relocate(&o, &RelocTarget::default()).unwrap();
    let error = without.failed[program].as_ref().unwrap().to_string();
    assert!(error.contains("needs the types of a kernel"), "{error}");
}

#[test]
fn jump_tables_become_maps() {
    let o = fixture("jumps.o");
    let p = &o.programs[0];
    assert_eq!(p.hook.prog_type, Some(ProgType::SYSCALL));
    assert_eq!(p.jump_tables.len(), 2);
    for table in &p.jump_tables {
        assert_eq!(table.targets.len(), 16);
        let map = &o.maps[table.map.unwrap()];
        assert_eq!((map.kind, map.max_entries), (34, 16));
        let holder = p
            .subprogs
            .iter()
            .find(|s| (s.start..s.end).contains(&table.targets[0]))
            .unwrap();
        assert!(
            table
                .targets
                .iter()
                .all(|t| (holder.start..holder.end).contains(t))
        );
    }
    assert_eq!(
        p.insns.iter().filter(|i| i.opcode == 0x0d).count(),
        2,
        "gotox"
    );
}

#[test]
fn legacy_maps() {
    let o = fixture("legacy.o");
    let hash = map(&o, "old_hash");
    assert_eq!(
        (
            hash.kind,
            hash.key_size,
            hash.value_size,
            hash.max_entries,
            hash.flags
        ),
        (1, 4, 8, 64, 1)
    );
    assert_eq!(map(&o, "old_array").value_size, 16);
    let refs: Vec<i32> = o.programs[0]
        .insns
        .iter()
        .filter(|i| i.src == 5)
        .map(|i| i.imm)
        .collect();
    assert_eq!(refs, [0, 1]);
}

/// The object with its functions' symbols changed, each 24 bytes of the symbol table.
fn with_functions(name: &str, change: impl Fn(&mut [u8])) -> Vec<u8> {
    use object::read::{Object as _, ObjectSection as _};

    let mut bytes = std::fs::read(data(name)).expect("the fixture is committed");
    let (at, size) = object::File::parse(&*bytes)
        .expect("ELF")
        .section_by_name(".symtab")
        .and_then(|s| s.file_range())
        .expect("a symbol table");
    for symbol in bytes[at as usize..][..size as usize].chunks_exact_mut(24) {
        if symbol[4] & 15 == 2 {
            change(symbol);
        }
    }
    bytes
}

#[test]
fn functions_of_old_compilers_have_neither_type_nor_size() {
    let untyped = |symbol: &mut [u8]| {
        symbol[4] &= !15;
        symbol[16..24].fill(0);
    };
    let old = open("legacy", &with_functions("legacy.o", untyped)).expect("an object");
    let new = fixture("legacy.o");
    assert_eq!(shape(&old), shape(&new));
    assert_eq!(old.programs[0].insns, new.programs[0].insns);

    let nameless = |symbol: &mut [u8]| symbol[4] = 0;
    let bare = open("legacy", &with_functions("legacy.o", nameless)).expect("an object");
    assert_eq!(bare.programs[0].name, "socket");
    assert_eq!(bare.programs[0].insns, new.programs[0].insns);

    let inside = |symbol: &mut [u8]| {
        untyped(symbol);
        symbol[8] = 4;
    };
    let error = open("legacy", &with_functions("legacy.o", inside)).expect_err("half a slot");
    assert!(error.to_string().contains("whole instructions"), "{error}");
}

const FIXTURES: [&str; 6] = ["maps", "calls", "data", "core", "jumps", "legacy"];

#[test]
fn writing_keeps_everything() {
    for name in FIXTURES {
        let o = fixture(&format!("{name}.o"));
        let bytes = write(&o).unwrap_or_else(|e| panic!("{name}: {e}"));
        let again = open(name, &bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(again, o, "{name}");
        // A second time nothing is added any more.
        assert_eq!(write(&again).unwrap().len(), bytes.len(), "{name}");
    }
}

#[test]
fn compiled_for_every_cpu() {
    let clang = "clang-22";
    if Command::new(clang).arg("--version").output().is_err() {
        eprintln!("skipped: there is no {clang}");
        return;
    }
    let dir = std::env::temp_dir().join(format!("probity-objfile-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for cpu in ["v1", "v2", "v3", "v4"] {
        for name in FIXTURES {
            let out = dir.join(format!("{name}-{cpu}.o"));
            let status = Command::new(clang)
                .args([
                    "-O2",
                    "-g",
                    "--target=bpf",
                    "-fno-strict-aliasing",
                    &format!("-mcpu={cpu}"),
                    "-c",
                ])
                .arg(data(&format!("{name}.c")))
                .arg("-o")
                .arg(&out)
                .status()
                .unwrap();
            assert!(status.success(), "{name} for {cpu}");
            let o = open(name, &std::fs::read(&out).unwrap())
                .unwrap_or_else(|e| panic!("{name} {cpu}: {e}"));
            let committed = fixture(&format!("{name}.o"));
            assert_eq!(shape(&o), shape(&committed), "{name} {cpu}");
            assert_eq!(o.externs, committed.externs, "{name} {cpu}");
            let again =
                open(name, &write(&o).unwrap()).unwrap_or_else(|e| panic!("{name} {cpu}: {e}"));
            assert_eq!(again, o, "{name} {cpu}");
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_part_of_an_object() {
    let o = fixture("maps.o");
    let only = |name: &'static str| o.subset(move |_, p| p.name == name);
    assert!(only("tail").maps.is_empty());
    // `entry` needs the program array, and with it the program in it.
    let part = only("entry");
    assert_eq!(part.programs.len(), 2);
    let names: Vec<_> = part.maps.iter().map(|m| m.name.as_str()).collect();
    assert!(
        !names.contains(&"ring") && !names.contains(&"bloom"),
        "{names:?}"
    );
    assert!(
        names.contains(&"inner_a") && names.contains(&"inner_b"),
        "{names:?}"
    );
    let (whole, entry) = (o.program("entry").unwrap(), part.program("entry").unwrap());
    for (a, b) in whole.insns.iter().zip(&entry.insns) {
        if a.opcode == 0x18 && a.src == 5 {
            assert_eq!(o.maps[a.imm as usize].name, part.maps[b.imm as usize].name);
        }
    }
    assert_eq!(open("part", &write(&part).unwrap()).unwrap(), part);
    let part = fixture("data.o").subset(|_, _| false);
    assert!(part.externs.is_empty() && part.maps.is_empty());
}

#[test]
fn hidden_variables_are_static() {
    let o = fixture("data.o");
    // `BPF_F_MMAPABLE` is for variables that others may see.
    assert_eq!(map(&o, ".bss.veiled").flags, 0);
    assert_eq!(map(&o, ".bss").flags, 1 << 10);
    assert_eq!(map(&o, ".rodata").flags, 1 << 10 | 1 << 7);
}

#[test]
fn pointers_in_data_are_refused() {
    let bytes = std::fs::read(data("pointers.o")).unwrap();
    let error = open("pointers", &bytes).unwrap_err().to_string();
    assert!(
        error.contains("`.data`") && error.contains("pointer"),
        "{error}"
    );
}
