//! The running kernel's types printed as C, compiled by clang, and compared with what clang
//! made of them: every structure and union, every member.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use probity_btf::{Btf, HeaderOptions, Type, TypeId};

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// clang and llvm-objcopy, of the first version present.
fn tools() -> Option<(String, String)> {
    let works = |name: &str| {
        Command::new(name)
            .arg("--version")
            .output()
            .is_ok_and(|o| o.status.success())
    };
    let found = ["-22", "", "-21", "-20", "-19", "-18"]
        .into_iter()
        .find_map(|version| {
            let tools = (format!("clang{version}"), format!("llvm-objcopy{version}"));
            (works(&tools.0) && works(&tools.1)).then_some(tools)
        });
    if found.is_none() {
        eprintln!("skipped: clang and llvm-objcopy are not installed");
    }
    found
}

fn kernel() -> Option<Btf> {
    match std::fs::read(VMLINUX) {
        Ok(bytes) => Some(Btf::parse(&bytes).unwrap()),
        Err(e) => {
            eprintln!("skipped: this kernel has no {VMLINUX} ({e})");
            None
        }
    }
}

fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

fn run(tool: &str, args: &[&str], dir: &Path) {
    let out = Command::new(tool)
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    let text: String = text.chars().take(4000).collect();
    assert!(out.status.success(), "{tool} {args:?}:\n{text}");
}

/// Compiles `source` beside `header` and reads the types that clang recorded.
fn compile(dir: &Path, header: &str, source: &str) -> Option<Btf> {
    let (clang, objcopy) = tools()?;
    std::fs::write(dir.join("vmlinux.h"), header).unwrap();
    std::fs::write(dir.join("probe.c"), source).unwrap();
    let flags = [
        "--target=bpf",
        "-g",
        "-O1",
        "-Wall",
        "-Werror",
        "-c",
        "probe.c",
        "-o",
        "probe.o",
    ];
    run(&clang, &flags, dir);
    run(
        &objcopy,
        &["--dump-section", ".BTF=probe.btf", "probe.o"],
        dir,
    );
    Some(Btf::parse(&std::fs::read(dir.join("probe.btf")).unwrap()).unwrap())
}

/// Every named member with bit offset and size, through anonymous structures.
fn members(btf: &Btf, id: TypeId, base: u64, out: &mut BTreeMap<String, (u64, u64)>) {
    for m in btf.members(id).iter() {
        let field = btf.member_field(&m).unwrap();
        if m.name.is_empty() {
            members(btf, m.ty, base + field.bit_offset, out);
        } else if !m.name.starts_with("__pad_after_") {
            out.insert(m.name.to_owned(), (base + field.bit_offset, field.bit_size));
        }
    }
}

/// Named structures and unions, spelled as the header has them.
fn composites(btf: &Btf) -> Vec<(String, TypeId)> {
    let mut seen = BTreeMap::new();
    let mut found = Vec::new();
    for (id, ty) in btf.types() {
        let keyword = match ty {
            Type::Struct(_) => "struct",
            Type::Union(_) => "union",
            Type::Enum(_) | Type::Enum64(_) => "enum",
            _ => continue,
        };
        let name = btf.name(id);
        if name.is_empty() {
            continue;
        }
        let count = seen.entry(name).or_insert(0);
        *count += 1;
        let flavour = if *count == 1 {
            String::new()
        } else {
            format!("___{count}")
        };
        if keyword != "enum" {
            found.push((format!("{keyword} {name}{flavour}"), id));
        }
    }
    found
}

fn whole_header(kernel: &Btf) -> String {
    let start = std::time::Instant::now();
    let options = HeaderOptions {
        kfuncs: true,
        ..HeaderOptions::default()
    };
    let header = kernel.c_header(&options).unwrap();
    eprintln!(
        "{} lines of C in {:?}",
        header.lines().count(),
        start.elapsed()
    );
    header
}

/// Compares the kernel's types with what clang recorded of the header's.
fn compare_recorded(kernel: &Btf, header: &str, wanted: &[(String, TypeId)], dir: &str) {
    // A variable that holds every type makes clang record them all.
    let mut source = "#include \"vmlinux.h\"\nunion {\n".to_owned();
    for (name, id) in wanted {
        source += &format!("{name} m{id};\n");
    }
    source += "} probe;\n";
    let Some(compiled) = compile(&scratch(dir), header, &source) else {
        return;
    };
    let mut wrong = Vec::new();
    for (name, id) in wanted {
        let got = compiled
            .find_type(name)
            .unwrap_or_else(|| panic!("clang recorded no {name}"));
        let (mut a, mut b) = (BTreeMap::new(), BTreeMap::new());
        members(kernel, *id, 0, &mut a);
        members(&compiled, got, 0, &mut b);
        spellings(kernel, *id, &compiled, got, &mut wrong);
        let sizes = (kernel.size_of(*id), compiled.size_of(got));
        if sizes.0 != sizes.1 || a != b {
            let differ: Vec<_> = a
                .iter()
                .filter(|(k, v)| b.get(*k) != Some(v))
                .take(3)
                .collect();
            wrong.push(format!("{name}: sizes {sizes:?}; {differ:?}"));
        }
    }
    eprintln!(
        "{} structures and unions compared with clang's record",
        wanted.len()
    );
    wrong.truncate(40);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Members' types, as spelled.
fn spellings(a: &Btf, x: TypeId, b: &Btf, y: TypeId, wrong: &mut Vec<String>) {
    // GCC and clang name the same integers differently, and names used twice get flavours.
    let plain = |btf: &Btf, id: TypeId| {
        let name = btf.type_name(id);
        let words = name.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_');
        let words = words.map(|word| match word.split_once("___") {
            Some((head, tail)) if tail.starts_with(|c: char| c.is_ascii_digit()) => {
                format!(
                    "{head}{}",
                    tail.trim_start_matches(|c: char| c.is_ascii_digit())
                )
            }
            _ => word.to_owned(),
        });
        words
            .collect::<String>()
            .replace("long long unsigned int", "unsigned long long")
            .replace("long long int", "long long")
            .replace("long unsigned int", "unsigned long")
            .replace("long int", "long")
            .replace("short unsigned int", "unsigned short")
            .replace("short int", "short")
            .replace("__int128 unsigned", "unsigned __int128")
            .replace("volatile const", "const volatile")
    };
    let xs = a.members(x).iter();
    let ys: Vec<_> = b
        .members(y)
        .iter()
        .filter(|n| !n.name.starts_with("__pad_after_"))
        .collect();
    if xs.len() != ys.len() {
        wrong.push(format!(
            "{}: {} members became {}",
            a.name(x),
            xs.len(),
            ys.len()
        ));
    }
    for (m, n) in xs.zip(ys) {
        if m.name.is_empty() && n.name.is_empty() {
            spellings(a, m.ty, b, n.ty, wrong);
            continue;
        }
        let (before, after) = (plain(a, m.ty), plain(b, n.ty));
        if before != after || m.name != n.name {
            wrong.push(format!(
                "{}.{}: {before} became {after} {}",
                a.name(x),
                m.name,
                n.name
            ));
        }
    }
}

/// Sizes and offsets of all types, asserted in C: quick, but C cannot ask for bitfields.
#[test]
fn kernel_types_have_their_layout_in_c() {
    let Some(kernel) = kernel() else { return };
    let Some((clang, _)) = tools() else { return };
    let header = whole_header(&kernel);
    let mut source = "#include \"vmlinux.h\"\n".to_owned();
    let mut asserted = 0;
    for (name, id) in composites(&kernel) {
        let size = kernel.size_of(id).unwrap();
        source += &format!("_Static_assert(sizeof({name}) == {size}, \"\");\n");
        let mut all = BTreeMap::new();
        members(&kernel, id, 0, &mut all);
        for (member, (offset, bits)) in all {
            let field = kernel.member_offset(id, &member).unwrap();
            assert_eq!(
                (field.bit_offset, field.bit_size),
                (offset, bits),
                "{name}.{member}"
            );
            if !field.bitfield {
                let at = format!("__builtin_offsetof({name}, {member}) == {}", offset / 8);
                source += &format!("_Static_assert({at}, \"\");\n");
                asserted += 1;
            }
        }
    }
    eprintln!("{asserted} offsets asserted");
    assert!(asserted > 10_000);
    let dir = scratch("asserted");
    std::fs::write(dir.join("vmlinux.h"), &header).unwrap();
    std::fs::write(dir.join("probe.c"), source).unwrap();
    for standard in ["-std=gnu11", "-std=gnu23"] {
        run(
            &clang,
            &[
                "--target=bpf",
                "-Wall",
                "-Werror",
                "-fsyntax-only",
                standard,
                "probe.c",
            ],
            &dir,
        );
    }
}

/// Bitfields, and a random sample of the rest, as clang records them.
#[test]
fn kernel_types_are_recorded_alike() {
    let Some(kernel) = kernel() else { return };
    let seed: u64 = std::env::var("TEST_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().map_or(1, |d| d.as_secs()));
    eprintln!("TEST_SEED={seed}");
    let mut state = seed;
    let mut wanted = composites(&kernel);
    wanted.retain(|&(_, id)| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let bitfields = kernel.members(id).iter().any(|m| m.bitfield_size != 0);
        state >> 60 == 0 && (bitfields || state >> 57 & 7 == 0)
    });
    compare_recorded(&kernel, &whole_header(&kernel), &wanted, "sample");
}

#[test]
#[ignore = "clang takes half a minute to record all types"]
fn all_kernel_types_are_recorded_alike() {
    let Some(kernel) = kernel() else { return };
    compare_recorded(
        &kernel,
        &whole_header(&kernel),
        &composites(&kernel),
        "whole",
    );
}

/// A header of one type and its needs, as a program would ask for it.
#[test]
fn a_small_header_is_enough_for_a_program() {
    let Some(kernel) = kernel() else { return };
    let options = HeaderOptions {
        types: ["struct task_struct", "u64", "size_t"]
            .map(String::from)
            .to_vec(),
        ..HeaderOptions::default()
    };
    let header = kernel.c_header(&options).unwrap();
    eprintln!("{} lines", header.lines().count());
    let source = "#include \"vmlinux.h\"
        u64 probe(struct task_struct *t) { return t->tgid + sizeof(size_t); }
        struct task_struct held;\n";
    let Some(compiled) = compile(&scratch("small"), &header, source) else {
        return;
    };
    let offset = |btf: &Btf| {
        btf.member_offset(btf.find_struct("task_struct").unwrap(), "tgid")
            .unwrap()
    };
    assert_eq!(offset(&compiled).bit_offset, offset(&kernel).bit_offset);
    assert!(matches!(
        kernel.c_header(&HeaderOptions {
            types: vec!["struct nothing_such".into()],
            ..options
        }),
        Err(probity_btf::Error::NotFound { .. })
    ));
}

/// Printing what clang recorded, compiling that, and so again: nothing may change.
#[test]
fn odd_types_survive_c() {
    let Some(first) = compile(&scratch("odd"), "", include_str!("data/odd.c")) else {
        return;
    };
    let header = first.c_header(&HeaderOptions::default()).unwrap();
    let wanted = composites(&first);
    assert!(wanted.len() > 30);
    compare_recorded(&first, &header, &wanted, "odd-again");
}
