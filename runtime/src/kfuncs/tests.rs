use probity_btf::{Btf, Kind};
use probity_platform::{NEWEST, Platform};

use super::*;

#[test]
fn every_declaration_parses_and_every_function_is_a_row_of_linux() {
    let linux = Platform::linux(NEWEST, None);
    let types = types();
    for entry in all() {
        assert!(
            declare::parse(entry.declaration).is_some(),
            "{}",
            entry.declaration
        );
        assert!(linux.kfunc(entry.name).is_some(), "{}", entry.name);
        let id = types.find(entry.name, Kind::Func).expect(entry.name);
        assert!(types.proto(id).is_some(), "{}", entry.name);
    }
    let names: std::collections::BTreeSet<_> = all().map(|e| e.name).collect();
    assert_eq!(names.len(), all().count(), "two entries share a name");
}

/// Where there are a kernel's types, every declaration is the kernel's.
#[test]
fn declarations_are_the_kernels() {
    let bytes = std::fs::read("/sys/kernel/btf/vmlinux").ok();
    let Some(kernel) = bytes.and_then(|b| Btf::parse(&b).ok()) else {
        return;
    };
    let ours = types();
    for entry in all() {
        let Some(id) = kernel.find(entry.name, Kind::Func) else {
            continue;
        };
        assert!(compatible(entry, &kernel, id), "{}", entry.name);
        let of = |t: &Btf, id| match t.proto(id).and_then(|p| t.ty(p)) {
            Some(probity_btf::Type::FuncProto { params, .. }) => {
                params.iter().map(|p| p.name.to_string()).collect()
            }
            _ => Vec::new(),
        };
        let own = ours.find(entry.name, Kind::Func).expect(entry.name);
        assert_eq!(of(&ours, own), of(&kernel, id), "{}", entry.name);
    }
}

#[test]
fn declarations_say_what_arguments_are() {
    let args = |text| declare::parse(text).map(|d: declare::Declared<'_>| d.args());
    assert_eq!(
        args("int *(const u64 *p, void *buffer__opt, u32 buffer__szk, const char *s__str)"),
        Some(vec![
            KfuncArg::Memory {
                bytes: 8,
                write: false,
                nullable: false
            },
            KfuncArg::Sized {
                write: true,
                nullable: true
            },
            KfuncArg::Any,
            KfuncArg::Text,
        ])
    );
    let node = KfuncArg::Memory {
        bytes: 32,
        write: true,
        nullable: false,
    };
    assert_eq!(
        args(
            "int (struct bpf_rb_node *n, bool (less)(struct bpf_rb_node *a, int b), void *meta__ign, u64 id__k)"
        ),
        Some(vec![
            node,
            KfuncArg::Any,
            KfuncArg::Constant,
            KfuncArg::Constant
        ])
    );
    assert_eq!(args("void (void *p__alloc)"), Some(vec![KfuncArg::Object]));
    assert_eq!(args("void (void)"), Some(vec![]));
    for bad in [
        "",
        "void",
        "void (",
        "void (int)",
        "strange (int a)",
        "void (int a b)",
        "void (bool (less)(strange a))",
        "void (bool (less)",
    ] {
        assert_eq!(args(bad), None, "{bad}");
    }
}
