//! Members by place, names and tags by what they are on: beside a walk that looks at everything.

use probity_btf::{Btf, BtfBuilder, FuncLinkage, IntEncoding, Kind, Leaf, MemberDef, Type, TypeId};

/// Every scalar member that covers `offset..offset + size`: (path, byte offset, in a union).
fn walked(btf: &Btf, id: TypeId, offset: u64, size: u64) -> Vec<(String, u64, bool)> {
    let mut found = Vec::new();
    within(btf, id, 0, offset, size, "", false, &mut found);
    found
}

fn within(
    btf: &Btf,
    ty: TypeId,
    at: u64,
    offset: u64,
    size: u64,
    path: &str,
    in_union: bool,
    found: &mut Vec<(String, u64, bool)>,
) {
    let resolved = btf.resolved(ty).unwrap();
    let in_union = in_union || matches!(resolved, Type::Union(_));
    match resolved {
        Type::Struct(c) | Type::Union(c) => {
            for m in c.members.iter() {
                let Some(field) = btf.member_field(&m) else {
                    continue;
                };
                let bits = at + field.bit_offset;
                let end = bits / 8 + (bits % 8 + field.bit_size).div_ceil(8);
                let flexible = matches!(btf.resolved(field.ty), Some(Type::Array { len: 0, .. }));
                if offset < bits / 8 || offset + size > end && !flexible {
                    continue;
                }
                let dot = if path.is_empty() || m.name.is_empty() {
                    ""
                } else {
                    "."
                };
                let path = format!("{path}{dot}{}", m.name);
                if field.bitfield {
                    found.push((path, bits / 8, in_union));
                } else {
                    within(btf, m.ty, bits, offset, size, &path, in_union, found);
                }
            }
        }
        Type::Array { elem, len, .. } => {
            let each = u64::from(btf.size_of(elem).unwrap_or(0));
            let index = (offset - at / 8).checked_div(each);
            let Some(index) = index.filter(|i| len == 0 || *i < u64::from(len)) else {
                return;
            };
            let at = at + index * each * 8;
            if offset + size <= at / 8 + (at % 8 + each * 8).div_ceil(8) {
                let path = format!("{path}[{index}]");
                within(btf, elem, at, offset, size, &path, in_union, found);
            }
        }
        _ => found.push((path.to_string(), at / 8, in_union)),
    }
}

fn same_everywhere(btf: &Btf, id: TypeId, bytes: u64) {
    for offset in 0..bytes {
        for size in [1, 2, 4, 8, 16] {
            let found = btf.members_at(id, offset, size).unwrap();
            let found: Vec<_> = found
                .iter()
                .map(|l| (l.path.clone(), l.field.byte_offset(), l.in_union))
                .collect();
            let what = format!("{size} bytes at {offset} of {}", btf.name(id));
            assert_eq!(found, walked(btf, id, offset, size), "{what}");
        }
    }
}

/// Structures as no compiler makes them too: members out of order and over one another, arrays of no length
/// in the middle, a structure that starts within a byte.
fn odd() -> (Btf, TypeId, TypeId) {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::SIGNED);
    let byte = b.int("char", 1, IntEncoding::default());
    let ptr = b.ptr(int);
    let alias = b.typedef("alias", ptr);
    let none = b.array(byte, int, 0);
    let three = b.array(alias, int, 3);
    let inner = b.struct_(
        "inner",
        8,
        &[MemberDef::at("a", int, 0), MemberDef::at("b", int, 4)],
    );
    let pairs = b.array(inner, int, 2);
    let either = b.union_(
        "",
        8,
        &[MemberDef::at("low", int, 0), MemberDef::at("all", alias, 0)],
    );
    let outer = b.struct_(
        "outer",
        96,
        &[
            MemberDef::at("late", alias, 64),
            MemberDef::at("first", int, 0),
            MemberDef::at("marker", none, 4),
            MemberDef::at("over", alias, 0),
            MemberDef::at("", either, 8),
            MemberDef::at("three", three, 16),
            MemberDef::at("pairs", pairs, 40),
            MemberDef {
                bit_offset: 56 * 8 + 3,
                ..MemberDef::at("shifted", inner, 0)
            },
            MemberDef::at("bytes", byte, 72),
            MemberDef::at("rest", none, 80),
        ],
    );
    (b.build().unwrap(), outer, inner)
}

#[test]
fn members_by_place() {
    let (btf, outer, inner) = odd();
    same_everywhere(&btf, outer, 100);
    same_everywhere(&btf, inner, 10);
    // Whoever asks first.
    let (btf, outer, inner) = odd();
    same_everywhere(&btf, inner, 10);
    same_everywhere(&btf.clone(), outer, 100);

    let there = btf.members_at(outer, 8, 8).unwrap();
    let best = Leaf::best(&there, 8, 8).map(|i| there[i].path.as_str());
    assert_eq!(best, Some("all"));
    assert_eq!(Leaf::best(&[], 8, 8), None);
    assert_eq!(
        btf.members_at(outer, 8, 8).unwrap(),
        there,
        "as it was kept"
    );
}

#[test]
fn names_by_place() {
    let (btf, outer, _) = odd();
    let mut all: Vec<(String, u64, u64)> = Vec::new();
    for name in [
        "late", "first", "over", "low", "all", "three", "pairs", "bytes",
    ] {
        let f = btf.member_offset(outer, name).unwrap();
        all.push((
            name.into(),
            f.byte_offset(),
            f.byte_offset() + f.byte_size(),
        ));
    }
    for (name, start) in [("marker", 4), ("rest", 80)] {
        all.push((name.into(), start, u64::MAX));
    }
    all.push(("shifted".into(), 56, 65));
    for offset in 0..100 {
        let mut names = btf.names_at(outer, offset).unwrap();
        let covers = |(_, start, end): &&(String, u64, u64)| (*start..*end).contains(&offset);
        let mut wanted: Vec<&str> = all.iter().filter(covers).map(|n| n.0.as_str()).collect();
        names.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(names, wanted, "at {offset}");
    }
}

#[test]
fn by_name_kind_and_target() {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::SIGNED);
    let proto = b.func_proto(int, &[("x", int)]);
    let f = b.func("f", proto, FuncLinkage::Global);
    let g = b.func("g", proto, FuncLinkage::Global);
    let s = b.struct_(
        "s",
        8,
        &[MemberDef::at("ab", int, 0), MemberDef::at("a", int, 4)],
    );
    let on_f = [b.decl_tag("one", f, None), b.decl_tag("two", f, Some(0))];
    let on_g = b.decl_tag("one", g, Some(0));
    let btf = b.build().unwrap();
    assert_eq!(btf.tags_on(f).collect::<Vec<_>>(), on_f);
    assert_eq!(btf.tags_on(g).collect::<Vec<_>>(), [on_g]);
    assert_eq!(btf.tags_on(int).count(), 0);
    for kind in [
        Kind::Func,
        Kind::DeclTag,
        Kind::Struct,
        Kind::Union,
        Kind::Void,
    ] {
        let slow = (1..btf.len())
            .map(TypeId)
            .filter(|id| btf.kind(*id) == Some(kind));
        assert_eq!(
            btf.of_kind(kind).collect::<Vec<_>>(),
            slow.collect::<Vec<_>>()
        );
    }
    assert!(btf.name_is(f, "f") && !btf.name_is(f, "") && !btf.name_is(f, "ff"));
    assert!(!btf.name_is(f, "f\0") && btf.name_is(proto, ""));
    let offset = |name| btf.members(s).named(name).map(|m| m.bit_offset);
    assert_eq!((offset("ab"), offset("a")), (Some(0), Some(32)));
    assert_eq!((offset("abc"), offset("b"), offset("")), (None, None, None));
    assert_eq!(btf.member(s, "a").unwrap().1.byte_offset(), 4);
}
