//! libbpf (through `bpftool -d`) as a second opinion on CO-RE relocations against this kernel.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use probity_btf::core::{
    CandidateCache, Footprint, RelocKind, Relocation, Resolution, describe, relocate,
};
use probity_btf::{Btf, BtfExt, TypeId};

const SOURCE: &str = include_str!("data/core.c");

/// What libbpf did with a relocation: old and new value, or it poisoned the instruction.
type Verdict = Option<(u64, u64)>;

#[test]
fn relocates_as_libbpf_does() {
    let Ok(kernel) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        eprintln!("skipped: this kernel has no BTF");
        return;
    };
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("core");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("core.c"), SOURCE).unwrap();
    let run = |tool: &str, args: &[&str]| Command::new(tool).args(args).current_dir(&dir).output();
    let flags = ["--target=bpf", "-g", "-O2", "-c", "core.c", "-o", "core.o"];
    let Some(version) = ["-22", "", "-21", "-20", "-19"].iter().find(|version| {
        run(&format!("clang{version}"), &["--version"]).is_ok_and(|o| o.status.success())
            && run(&format!("llvm-objcopy{version}"), &["--version"]).is_ok()
    }) else {
        eprintln!("skipped: clang and llvm-objcopy are not installed");
        return;
    };
    let out = run(&format!("clang{version}"), &flags).unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let dump = [
        "--dump-section",
        ".BTF=btf",
        "--dump-section",
        ".BTF.ext=ext",
        "core.o",
    ];
    assert!(
        run(&format!("llvm-objcopy{version}"), &dump)
            .unwrap()
            .status
            .success()
    );

    // It is never loaded: the program reads what the verifier forbids, after relocation.
    let theirs = match run(
        "bpftool",
        &[
            "-d",
            "prog",
            "load",
            "core.o",
            "/sys/fs/bpf/probity-core-test",
        ],
    ) {
        Ok(out) => verdicts(&String::from_utf8_lossy(&out.stderr)),
        Err(e) => {
            eprintln!("skipped: bpftool does not run ({e})");
            return;
        }
    };
    if theirs.is_empty() {
        eprintln!("skipped: bpftool may not relocate here");
        return;
    }

    let kernel = Btf::parse(&kernel).unwrap();
    let local = Btf::parse(&std::fs::read(dir.join("btf")).unwrap()).unwrap();
    let ext = BtfExt::parse(&std::fs::read(dir.join("ext")).unwrap(), &local).unwrap();
    assert_eq!(ext.core_relos.len(), 1);
    let mut cache = CandidateCache::new();
    let mut footprint = Footprint::new(&kernel);
    let mut kinds = std::collections::BTreeSet::new();
    for (i, record) in ext.core_relos[0].records.iter().enumerate() {
        let rel = Relocation {
            type_id: record.type_id,
            access: local.str_at(record.access).unwrap(),
            kind: RelocKind::from_number(record.kind).unwrap(),
        };
        kinds.insert(record.kind);
        let what = format!(
            "relo #{i}: <{}> {}",
            rel.kind.name(),
            describe(&local, &rel)
        );
        let ours = match relocate(&local, &rel, &kernel, &mut cache).expect(&what) {
            Resolution::Value(patch) if patch.fail_memsz_adjust => None,
            Resolution::Value(patch) => Some(patch),
            Resolution::Failed => None,
        };
        let theirs = theirs
            .get(&i)
            .unwrap_or_else(|| panic!("libbpf says nothing of {what}"));
        assert_eq!(ours.map(|p| p.value), theirs.map(|t| t.1), "{what}");
        footprint.add(&local, &rel, &mut cache).expect(&what);
        if let (Some(original), Some((old, _))) = (ours.and_then(|p| p.original), theirs) {
            assert_eq!(original, *old, "{what}: value in the instruction");
        }
    }
    assert_eq!(kinds.len(), 13, "every kind of relocation is tried");

    // What these relocations need of the kernel gives them the same answers.
    let small = footprint.build().unwrap();
    let mut small_cache = CandidateCache::new();
    for record in &ext.core_relos[0].records {
        let rel = Relocation {
            type_id: record.type_id,
            access: local.str_at(record.access).unwrap(),
            kind: RelocKind::from_number(record.kind).unwrap(),
        };
        let what = format!("<{}> {}", rel.kind.name(), describe(&local, &rel));
        let mut whole = relocate(&local, &rel, &kernel, &mut cache).unwrap();
        if let (RelocKind::TypeIdTarget, Resolution::Value(patch)) = (rel.kind, &mut whole) {
            patch.value = small.ids[&TypeId(patch.value as u32)].0.into();
        }
        assert_eq!(
            relocate(&local, &rel, &small.btf, &mut small_cache),
            Ok(whole),
            "{what}"
        );
    }
    eprintln!(
        "{} types in {} bytes do",
        small.btf.len(),
        small.btf.to_bytes().len()
    );
    assert!(small.btf.len() < kernel.len() / 100);
    eprintln!("{} relocations agree", theirs.len());
}

/// `relo #3: patched insn #5 (ALU/ALU64) imm 24 -> 1328`, `relo #8: substituting insn #22 …`.
fn verdicts(log: &str) -> BTreeMap<usize, Verdict> {
    let mut found = BTreeMap::new();
    for line in log.lines() {
        let Some((_, rest)) = line.split_once("relo #") else {
            continue;
        };
        let Some((number, rest)) = rest.split_once(": ") else {
            continue;
        };
        let Ok(number) = number.parse() else { continue };
        if rest.starts_with("substituting insn") {
            found.insert(number, None);
        } else if rest.starts_with("patched insn")
            && rest.contains(" -> ")
            && !rest.contains("mem_sz")
        {
            let (before, after) = rest.rsplit_once(" -> ").unwrap();
            let old = before.rsplit(' ').next().unwrap();
            found.insert(
                number,
                Some((old.parse().unwrap(), after.trim().parse().unwrap())),
            );
        }
    }
    found
}
