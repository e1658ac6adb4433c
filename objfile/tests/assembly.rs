//! Assembly text and objects built in memory become objects like any other.

use probity_isa::{CallTarget, Imm64, Insn, Reg, Src, Width};
use probity_objfile::{
    DataKind, Error, Line, Map, ObjectBuilder, ProgramDef, Target, assemble, open, write,
};

fn helper(name: &str) -> Option<u32> {
    (name == "bpf_map_lookup_elem").then_some(1)
}

const COUNT: &str = "\
.license \"GPL\"
.map counts kind=hash key=4 value=8 max_entries=16
.section xdp
.globl count
count:
    *(u32 *)(r10 - 4) = 1
    r2 = r10
    r2 += -4
    r1 = map counts ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = step ll
    r1 = *(u64 *)(r1 + 8)
    call ours
out:
    r0 = 2
    exit
.text
ours:
    r0 = r1
    exit
.rodata step
    .quad 1, 2
";

#[test]
fn a_program_with_a_map_data_and_a_subprogram() {
    let o = assemble("count.s", COUNT, &helper).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        (o.name.as_str(), o.license.as_deref()),
        ("count", Some("GPL"))
    );
    let p = o.program("count").unwrap();
    assert_eq!(p.hook.section, "xdp");
    let subs: Vec<_> = p
        .subprogs
        .iter()
        .map(|s| (s.name.as_str(), s.start, s.global))
        .collect();
    assert_eq!(subs, [("count", 0, true), ("ours", 13, false)]);
    assert_eq!((p.insns[3].src, p.insns[3].imm), (5, 0), "the map by index");
    assert_eq!(
        (p.insns[7].src, p.insns[7].imm, p.insns[8].imm),
        (6, 1, 0),
        "the data by index and place"
    );
    assert_eq!(
        (p.insns[10].src, p.insns[10].imm),
        (1, 2),
        "the call is relative"
    );
    assert_eq!(
        (o.maps[0].kind, o.maps[0].key_size, o.maps[0].max_entries),
        (1, 4, 16)
    );
    let line = p.line_at(10).unwrap();
    assert_eq!(
        (&*line.file, line.line, &*line.text),
        ("count.s", 14, "call ours")
    );
    assert_eq!(open("count", &write(&o).unwrap()).unwrap(), o);
}

#[test]
fn the_first_code_of_a_section_is_a_program() {
    let o = assemble(
        "x.s",
        ".section \"socket\"\nmain:\n\tr0 = 0\n\texit\n",
        &helper,
    )
    .unwrap();
    assert_eq!(o.programs[0].name, "main");
    let o = assemble("a-b.s", ".section tc\n\tr0 = 0\n\texit\n", &helper).unwrap();
    assert_eq!(o.programs[0].name, "a_b");
    let o = assemble("plain.s", "r0 = 0\nexit\n", &helper).unwrap();
    assert_eq!((o.programs.len(), o.programs[0].hook.prog_type), (1, None));
}

#[test]
fn mistakes_have_a_line() {
    let error = |text: &str| assemble("x.s", text, &helper).unwrap_err().to_string();
    assert!(error(".section xdp\nf:\n r0 = 0\n call nonsense\n exit\n").starts_with("4:"));
    assert!(
        error(".map m kind=nonsense key=4 value=4 max_entries=1\n.section xdp\nexit\n")
            .contains("nonsense")
    );
    assert!(error(".section xdp\nr0 += \n").starts_with("2:"));
}

#[test]
fn built_in_memory() {
    let mut b = ObjectBuilder::new("script");
    b.license("GPL");
    let counts = b.add_map(Map::new("counts", 1, 4, 8, 128));
    let (text, at) = b.add_rodata("text", b"hello\0").unwrap();
    let (more, second) = b.add_rodata("more", b"world\0").unwrap();
    assert_eq!((text, more, at, second), (1, 1, 0, 8));
    let (variable, _) = b
        .add_data(DataKind::Bss, ".bss", "total", &[0; 8], 8)
        .unwrap();
    assert!(
        b.add_data(DataKind::Data, ".data", "x", &[0; 8], 3)
            .is_err()
    );
    let wide = |dst, imm| [Insn::LoadImm64 { dst, imm }, Insn::Imm64High];
    let mut insns = Vec::new();
    insns.extend(wide(Reg::R1, Imm64::MapIdx(counts as u32)));
    insns.extend(wide(
        Reg::R2,
        Imm64::MapIdxValue {
            index: text as u32,
            off: second,
        },
    ));
    insns.extend(wide(
        Reg::R3,
        Imm64::MapIdxValue {
            index: variable as u32,
            off: 0,
        },
    ));
    insns.push(Insn::Call(CallTarget::Subprog { rel: 1 }));
    insns.push(Insn::Exit);
    insns.push(Insn::Mov {
        width: Width::W64,
        dst: Reg::R0,
        src: Src::Imm(0),
    });
    insns.push(Insn::Exit);
    let mut def = ProgramDef::new("probe", "tp/syscalls/sys_enter_openat", &insns).unwrap();
    def.subprogs = vec![("sub".into(), 8)];
    def.lines = vec![Line {
        pc: 0,
        file: "x.bt".into(),
        line: 1,
        column: 3,
        text: "probe".into(),
    }];
    b.add_program(def.clone()).unwrap();
    assert!(
        matches!(b.add_program(def), Err(Error::Program { .. })),
        "one name, two programs"
    );
    let o = b.build().unwrap();
    let again = open("script", &write(&o).unwrap()).unwrap();
    assert_eq!(again, o);
    let btf = again.btf.as_ref().unwrap();
    assert_eq!(
        again.programs[0].subprogs[0]
            .func
            .map(|id| btf.name(id).to_owned())
            .as_deref(),
        Some("probe")
    );
}

/// Every `.s` file below a directory.
fn assembly_files(dir: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assembly_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "s") {
            found.push(path);
        }
    }
}

#[test]
fn the_repository_s_own_programs() {
    let mut files = Vec::new();
    let programs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../programs");
    assembly_files(&programs, &mut files);
    assert!(!files.is_empty());
    // Which number a helper has does not matter here.
    let helper = |name: &str| name.starts_with("bpf_").then_some(1);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy();
        let o = assemble(&name, &text, &helper).unwrap_or_else(|e| panic!("{name}:{e}"));
        assert!(!o.programs.is_empty(), "{name}");
        for p in &o.programs {
            let host = matches!(p.hook.target, Target::Host { .. });
            assert!(host || p.hook.prog_type.is_some(), "{name}: {}", p.hook);
            assert!(!p.lines.is_empty(), "{name}");
        }
    }
}
