//! The running kernel's own types as an input, with bpftool as a second opinion.

use std::time::Instant;

use probity_btf::{Btf, Kind, Type};

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

fn kernel() -> Option<(Vec<u8>, Btf)> {
    match std::fs::read(VMLINUX) {
        Ok(bytes) => {
            let btf = Btf::parse(&bytes).expect("the kernel's BTF parses");
            Some((bytes, btf))
        }
        Err(e) => {
            eprintln!("skipped: this kernel has no {VMLINUX} ({e})");
            None
        }
    }
}

#[test]
fn parses_and_writes_back() {
    let Some((bytes, _)) = kernel() else { return };
    let start = Instant::now();
    let btf = Btf::parse(&bytes).unwrap();
    eprintln!("{} types in {:?}", btf.len(), start.elapsed());
    let start = Instant::now();
    let task = btf.find_struct("task_struct").unwrap();
    eprintln!("first lookup in {:?}", start.elapsed());
    let tgid = btf.member_offset(task, "tgid").unwrap();
    eprintln!("task_struct.tgid at {:#x}", tgid.byte_offset());
    assert_eq!(tgid.bit_size, 32);
    assert_eq!(btf.type_name(tgid.ty), "pid_t");
    assert_eq!(btf.to_bytes(), bytes);
}

#[test]
fn everything_can_be_asked_of_everything() {
    let Some((_, btf)) = kernel() else { return };
    for (id, ty) in btf.types() {
        btf.type_name(id);
        let size = btf.size_of(id);
        btf.align_of(id);
        let (Type::Struct(c) | Type::Union(c)) = ty else {
            continue;
        };
        for m in c.members.iter() {
            let field = btf.member_field(&m).unwrap();
            assert!(
                field.bit_offset + field.bit_size <= u64::from(size.unwrap()) * 8,
                "{}",
                btf.name(id)
            );
            if m.name.is_empty() || field.bit_size == 0 {
                continue;
            }
            assert_eq!(btf.member_offset(id, m.name).unwrap(), field);
            let kind = btf.kind(btf.resolve(m.ty)).unwrap();
            if kind.is_composite() || kind == Kind::Array {
                continue;
            }
            let at = btf
                .members_at(id, field.byte_offset(), field.byte_size())
                .unwrap();
            let here = at
                .iter()
                .any(|leaf| leaf.path == m.name && leaf.field == field);
            assert!(here, "{}.{} is not in {at:?}", btf.name(id), m.name);
        }
    }
}

#[test]
fn names_are_found() {
    let Some((_, btf)) = kernel() else { return };
    for (id, _) in btf.types() {
        let name = btf.name(id);
        if !name.is_empty() {
            assert!(btf.find_all(name).any(|found| found == id), "{name}");
            let kind = btf.kind(id).unwrap();
            let first = btf.find(name, kind).unwrap();
            assert!(first <= id && btf.kind(first) == Some(kind));
        }
    }
    let (_, v) = btf.find_enum_value("BPF_MAP_TYPE_RINGBUF").unwrap();
    assert_eq!(v.value, 27);
    let f = btf.find_func("vfs_read").unwrap();
    assert_eq!(btf.params(f).len(), 4);
    eprintln!("{}", btf.type_name(f));
}
