//! Texts of small headers; that they compile and keep layouts is `tests/c_header.rs`.

use super::*;
use crate::{BtfBuilder, FuncLinkage, IntEncoding, MemberDef};

fn print(b: &BtfBuilder, types: &[&str]) -> String {
    let types = types.iter().map(|&t| t.to_owned()).collect();
    let options = HeaderOptions {
        types,
        bare: true,
        ..HeaderOptions::default()
    };
    b.build().unwrap().c_header(&options).unwrap()
}

#[test]
fn order_follows_need() {
    let mut b = BtfBuilder::new();
    // struct outer { struct inner i; struct other *o; t *self; }; typedef struct outer t;
    let (outer, inner, other, t) = (TypeId(1), TypeId(2), TypeId(3), TypeId(4));
    let (to_other, to_t) = (TypeId(5), TypeId(6));
    b.struct_(
        "outer",
        24,
        &[
            MemberDef::at("i", inner, 0),
            MemberDef::at("o", to_other, 8),
            MemberDef::at("self", to_t, 16),
        ],
    );
    b.struct_("inner", 8, &[MemberDef::at("o", to_other, 0)]);
    b.struct_("other", 24, &[MemberDef::at("back", outer, 0)]);
    b.typedef("t", outer);
    b.ptr(other);
    b.ptr(t);
    let expected = "struct other;\n\n\
                    struct inner {\n\tstruct other *o;\n};\n\n\
                    struct outer;\n\n\
                    typedef struct outer t;\n\n\
                    struct outer {\n\tstruct inner i;\n\tstruct other *o;\n\tt *self;\n};\n\n";
    assert_eq!(print(&b, &["struct outer"]), expected);
    // Everything: what was only pointed to is defined too.
    let all = print(&b, &[]);
    assert!(
        all.ends_with("struct other {\n\tstruct outer back;\n};\n\n"),
        "{all}"
    );
}

#[test]
fn padding_and_packing() {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::SIGNED);
    let char_ = b.int("char", 1, IntEncoding::SIGNED);
    let bit = |name, bit_offset, bitfield_size| MemberDef {
        name,
        ty: int,
        bit_offset,
        bitfield_size,
    };
    b.struct_(
        "gap",
        16,
        &[
            MemberDef::at("a", char_, 0),
            bit("b", 35, 3),
            bit("c", 64, 0),
        ],
    );
    b.struct_(
        "tight",
        5,
        &[MemberDef::at("a", char_, 0), MemberDef::at("b", int, 1)],
    );
    assert_eq!(
        print(&b, &["struct gap"]),
        "struct gap {\n\tchar a;\n\tchar: 8;\n\tshort: 16;\n\tchar: 3;\n\tint b: 3;\n\tint c;\n\tint: 32;\n};\n\n"
    );
    assert_eq!(
        print(&b, &["struct tight"]),
        "struct tight {\n\tchar a;\n\tint b;\n} __attribute__((packed));\n\n"
    );
}

#[test]
fn names_that_c_cannot_hold() {
    let mut b = BtfBuilder::new();
    let u32_ = b.int("u32", 4, IntEncoding::UNSIGNED);
    b.struct_(
        "Option<u32>",
        8,
        &[MemberDef::at("0", u32_, 0), MemberDef::at("int", u32_, 4)],
    );
    b.enum_("e", 4, false, &[("A", 1)]);
    b.struct_("e", 4, &[MemberDef::at("a", TypeId(3), 0)]);
    b.enum_("f", 4, false, &[("A", 2)]);
    let text = print(&b, &[]);
    for line in [
        "struct Option_u32_ {",
        "\tunsigned int _0;",
        "\tunsigned int int_;",
        "struct e___2 {",
        "\tenum e a;",
        "\tA___2 = 2,",
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "{line:?} is not in\n{text}"
        );
    }
}

#[test]
fn functions_a_program_may_call() {
    let mut b = BtfBuilder::new();
    let s = b.struct_("s", 0, &[]);
    let to_s = b.ptr(s);
    let proto = b.func_proto(to_s, &[("s", to_s)]);
    let func = b.func("bpf_acquire", proto, FuncLinkage::Static);
    b.func("not_tagged", proto, FuncLinkage::Static);
    b.decl_tag("bpf_kfunc", func, None);
    let options = HeaderOptions {
        kfuncs: true,
        ..HeaderOptions::default()
    };
    let text = b.build().unwrap().c_header(&options).unwrap();
    assert!(
        text.contains("\nextern struct s *bpf_acquire(struct s *) __weak __ksym;\n"),
        "{text}"
    );
    assert!(!text.contains("not_tagged"));
}

/// Anonymous structures of anonymous structures, each twice: 2^40 lines if spelled out.
#[test]
fn exponential_text_is_refused() {
    let mut b = BtfBuilder::new();
    let mut inner = b.int("int", 4, IntEncoding::SIGNED);
    for _ in 0..40 {
        inner = b.union_(
            "",
            4,
            &[MemberDef::at("a", inner, 0), MemberDef::at("b", inner, 0)],
        );
    }
    b.typedef("t", inner);
    let got = b.build().unwrap().c_header(&HeaderOptions::default());
    assert!(matches!(got, Err(Error::TooBig(_))), "{got:?}");
}

#[test]
fn flavours_do_not_meet() {
    let mut b = BtfBuilder::new();
    for name in ["s", "s", "s___2", "s___2", "s"] {
        b.struct_(name, 0, &[]);
    }
    b.fwd("s", false);
    b.fwd("s", true);
    let text = print(&b, &[]);
    for name in ["s", "s___2", "s___2___2", "s___2___3", "s___3"] {
        assert_eq!(
            text.matches(&format!("struct {name} {{}}")).count(),
            1,
            "{name} in\n{text}"
        );
    }
    assert!(text.contains("union s___4;"), "{text}");
}

/// Four gigabytes of padding after a bitfield are one line.
#[test]
fn huge_gaps_are_arrays() {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::SIGNED);
    b.struct_(
        "s",
        u32::MAX,
        &[MemberDef {
            name: "a",
            ty: int,
            bit_offset: 0,
            bitfield_size: 3,
        }],
    );
    let text = print(&b, &[]);
    assert!(text.contains("char __pad_after_0[4294967294];"), "{text}");
}
