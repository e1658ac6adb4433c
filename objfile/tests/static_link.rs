//! Linking: what goes together does, what clashes is named, and no bytes make a panic.
//!
//! The objects are made from the sources beside them: `clang -O2 -g -target bpf -mcpu=v3 -c`.

use probity_btf::{Btf, Type};
use probity_objfile::{DataKind, Error, LinkError, Object, link, open, write};

fn read(name: &str) -> Vec<u8> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read(root.join("tests/data").join(name)).unwrap()
}

fn first() -> Vec<u8> {
    read("link/first.bpf.o")
}

fn second() -> Vec<u8> {
    read("link/second.bpf.o")
}

fn linked(a: &[u8], b: &[u8]) -> (Vec<u8>, Object) {
    let linked = link(&[("a.o", a), ("b.o", b)]).unwrap();
    assert!(linked.unresolved.is_empty(), "{:?}", linked.unresolved);
    let object = open("linked", &linked.bytes).unwrap();
    (linked.bytes, object)
}

fn functions<'a>(object: &'a Object, program: &str) -> Vec<&'a str> {
    let program = object.program(program).unwrap();
    program.subprogs.iter().map(|s| s.name.as_str()).collect()
}

#[test]
fn what_one_defines_the_other_finds() {
    for (a, b) in [(first(), second()), (second(), first())] {
        let (bytes, object) = linked(&a, &b);
        assert_eq!(linked(&a, &b).0, bytes, "not the same twice");
        let mut names: Vec<&str> = object.programs.iter().map(|p| p.name.as_str()).collect();
        names.sort();
        assert_eq!(names, ["first", "second"]);
        // Each its own static `twice`, both the strong `base`.
        let mut of_first = functions(&object, "first");
        of_first.sort();
        assert_eq!(of_first, ["base", "first", "twice", "twice", "weigh"]);
        let (one, two) = (
            object.program("first").unwrap(),
            object.program("second").unwrap(),
        );
        let code = |p: &probity_objfile::Program, name: &str| {
            let s = p.subprogs.iter().find(|s| s.name == name).unwrap();
            p.insns[s.start..s.end].to_vec()
        };
        assert_eq!(code(one, "base"), code(two, "base"));
        assert!(
            code(one, "base").iter().any(|i| i.imm == 10),
            "the weak one"
        );
        // Maps once, variables of both.
        assert_eq!(object.maps.iter().filter(|m| m.name == "counts").count(), 1);
        let data = object.maps.iter().filter_map(|m| m.data.as_ref());
        let data = data.clone().find(|d| d.kind == DataKind::Data).unwrap();
        assert_eq!(data.bytes.len(), 12);
        let btf = object.btf.as_deref().unwrap();
        for (name, value) in [("only_first", 5), ("padding", 7), ("total", 100)] {
            let var = btf.find_var(name).unwrap();
            let Some(Type::DataSec { vars, .. }) = data.datasec.and_then(|id| btf.ty(id)) else {
                panic!("no types of `.data`");
            };
            let place = vars.iter().find(|v| v.var == var).unwrap();
            assert_eq!(data.bytes[place.offset as usize], value, "{name}");
        }
        // Lines of both sources, in their programs.
        let file = |p: &probity_objfile::Program| p.line_at(0).unwrap().file.to_string();
        assert!(file(one).ends_with("first.bpf.c"), "{}", file(one));
        assert!(file(two).ends_with("second.bpf.c"), "{}", file(two));
        for p in [one, two] {
            for s in &p.subprogs {
                let name = s.func.map(|id| btf.name(id));
                assert_eq!(name, Some(s.name.as_str()));
            }
        }
        // A linked object can be written, and linked again.
        assert_eq!(
            open("again", &write(&object).unwrap())
                .unwrap()
                .programs
                .len(),
            2
        );
        let again = link(&[("linked.o", &bytes)]).unwrap();
        assert_eq!(open("linked", &again.bytes).unwrap(), object);
    }
}

#[test]
fn types_are_there_once() {
    let (_, object) = linked(&first(), &second());
    let btf = object.btf.as_deref().unwrap();
    assert_eq!(btf.find_all("node").count(), 1);
    assert_eq!(btf.find_all("int").count(), 1);
    for pair in [
        ("calls.o", "data.o"),
        ("maps.o", "jumps.o"),
        ("core.o", "core.o"),
    ] {
        let objects = [read(pair.0), read(pair.1)].map(|b| open("x", &b).unwrap());
        let [a, b] = [0, 1].map(|i: usize| objects[i].btf.as_deref().unwrap());
        let plain = |btf: &Btf| {
            let named = |ty| {
                !matches!(
                    ty,
                    Type::Func { .. }
                        | Type::Var { .. }
                        | Type::DataSec { .. }
                        | Type::DeclTag { .. }
                        | Type::Void
                )
            };
            btf.types().filter(|&(_, ty)| named(ty)).count()
        };
        let count = |sets: &[&Btf]| probity_btf::merge(sets).builder.build().unwrap().len();
        // Merging with itself adds nothing, and a type means what it meant.
        assert_eq!(count(&[a, a]), count(&[a]));
        assert!(count(&[a]) as usize <= plain(a) + 1);
        assert!(count(&[a, b]) < count(&[a]) + count(&[b]));
        let merged = probity_btf::merge(&[a, b]);
        let all = merged.builder.build().unwrap();
        for (set, btf) in [a, b].into_iter().enumerate() {
            for (id, ty) in btf.types() {
                let new = merged.ids[set][id.0 as usize];
                if matches!(
                    ty,
                    Type::Struct(_) | Type::Union(_) | Type::Int { .. } | Type::Ptr(_)
                ) {
                    assert_eq!(btf.type_name(id), all.type_name(new));
                    assert_eq!(btf.size_of(id), all.size_of(new));
                    let members = btf.members(id).iter().zip(all.members(new).iter());
                    for (old, new) in members {
                        assert_eq!((old.name, old.bit_offset), (new.name, new.bit_offset));
                    }
                }
            }
        }
    }
}

#[test]
fn clashes_are_named_all_at_once() {
    let clash = read("link/clash.bpf.o");
    let Err(LinkError::Clashes(clashes)) = link(&[("a.o", &first()), ("b.o", &clash)]) else {
        panic!("they go together");
    };
    let said = |name: &str| {
        let clash = clashes.iter().find(|c| c.name == name);
        clash
            .unwrap_or_else(|| panic!("nothing of {name}"))
            .what
            .clone()
    };
    assert_eq!(clashes.len(), 4);
    assert!(said("counts").contains("`max_entries` of the map is 4 in one and 8 in the other"));
    assert!(said("only_first").contains("defined in both"));
    assert!(
        said("weigh").contains("int weigh(long, int)") && said("weigh").contains("int weigh(int)")
    );
    assert!(said("total").contains("long total"));
    let text = LinkError::Clashes(clashes).to_string();
    assert_eq!(text.lines().count(), 4);
    assert!(
        text.lines().all(|l| l.contains("a.o") && l.contains("b.o")),
        "{text}"
    );
    // The same twice.
    let Err(LinkError::Clashes(clashes)) = link(&[("a.o", &second()), ("b.o", &second())]) else {
        panic!("a function is there twice");
    };
    let mut names: Vec<&str> = clashes.iter().map(|c| c.name.as_str()).collect();
    names.sort();
    assert_eq!(names, ["base", "padding", "second", "total", "weigh"]);
    // A map that both define alike is one map, where libbpf wants all but one to be weak.
    let Err(LinkError::Clashes(clashes)) = link(&[("a.o", &clash), ("b.o", &clash)]) else {
        panic!("a function is there twice");
    };
    assert!(clashes.iter().all(|c| c.name != "counts"));
}

#[test]
fn what_nobody_defines_is_told() {
    let alone = link(&[("a.o", &first())]).unwrap();
    assert_eq!(alone.unresolved, ["total", "weigh"]);
    // Step by step it comes to the same programs.
    let both = link(&[("a.o", &alone.bytes), ("b.o", &second())]).unwrap();
    assert!(both.unresolved.is_empty());
    assert_eq!(
        open("x", &both.bytes).unwrap(),
        linked(&first(), &second()).1
    );
    assert_eq!(link(&[]).unwrap_err(), LinkError::Nothing);
}

#[test]
fn licences_are_the_same() {
    let bytes = second();
    let at = bytes.windows(4).position(|w| w == b"GPL\0").unwrap();
    let mut other = bytes.clone();
    other[at..at + 3].copy_from_slice(b"MIT");
    let error = link(&[("a.o", &first()), ("b.o", &other)])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`license`") && error.contains("differs"),
        "{error}"
    );
    let error = link(&[("a.o", &first()), ("b.o", b"nothing")]).unwrap_err();
    let expected = LinkError::Object {
        file: "b.o".into(),
        error: Error::NotElf,
    };
    assert_eq!(error, expected);
}

/// Every object of the tests with another: programs stay what they were.
#[test]
fn programs_stay_what_they_were() {
    let names = ["calls.o", "core.o", "data.o", "jumps.o", "maps.o"];
    let mut together = 0;
    for name in names {
        for (a, b) in [(read(name), second()), (second(), read(name))] {
            let before = open("x", &read(name)).unwrap();
            let after = match link(&[("a.o", &a), ("b.o", &b)]) {
                Ok(linked) => open("x", &linked.bytes).unwrap(),
                Err(LinkError::Clashes(_)) => continue,
                Err(e) => panic!("{name}: {e}"),
            };
            together += 1;
            for p in &before.programs {
                let q = after
                    .program(&p.name)
                    .unwrap_or_else(|| panic!("{name}: no {}", p.name));
                assert_eq!(p.insns.len(), q.insns.len(), "{name}: {}", p.name);
                assert_eq!(p.hook, q.hook);
                assert_eq!(p.lines, q.lines);
                let places = |p: &probity_objfile::Program| {
                    p.subprogs
                        .iter()
                        .map(|s| (s.name.clone(), s.start, s.end))
                        .collect::<Vec<_>>()
                };
                assert_eq!(places(p), places(q));
                let relocs = |p: &probity_objfile::Program| {
                    p.core_relocs
                        .iter()
                        .map(|r| (r.pc, r.access.clone(), r.kind))
                        .collect::<Vec<_>>()
                };
                assert_eq!(relocs(p), relocs(q));
                let targets = |p: &probity_objfile::Program| {
                    p.jump_tables
                        .iter()
                        .map(|t| t.targets.clone())
                        .collect::<Vec<_>>()
                };
                assert_eq!(targets(p), targets(q), "{name}: {}", p.name);
                for (i, (old, new)) in p.insns.iter().zip(&q.insns).enumerate() {
                    assert_eq!(
                        (old.opcode, old.dst, old.off),
                        (new.opcode, new.dst, new.off),
                        "{name} {i}"
                    );
                }
            }
            for m in before.maps.iter().filter(|m| m.data.is_none()) {
                let there = after.maps.iter().any(|n| {
                    (&n.name, n.kind, n.key_size, n.value_size, n.max_entries)
                        == (&m.name, m.kind, m.key_size, m.value_size, m.max_entries)
                });
                assert!(there, "{name}: map {}", m.name);
            }
        }
    }
    assert!(together >= 8, "{together}");
}

#[test]
fn mutated_objects_do_no_harm() {
    let seed = std::env::var("TEST_SEED").ok().and_then(|s| s.parse().ok());
    let mut state: u64 = seed.unwrap_or_else(|| {
        std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .as_nanos() as u64
    });
    println!("TEST_SEED={state}");
    let mut below = |n: usize| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    let corpus = [
        first(),
        second(),
        read("calls.o"),
        read("jumps.o"),
        read("maps.o"),
    ];
    for n in 0..3000 {
        let mut bytes = corpus[n % corpus.len()].clone();
        for _ in 0..=below(4) {
            let at = below(bytes.len());
            match below(3) {
                0 => bytes[at] ^= 1 << below(8),
                1 => bytes[at] = below(256) as u8,
                _ => {
                    let end = (at + 4).min(bytes.len());
                    bytes[at..end].fill([0, 0xff, 0x7f][below(3)]);
                }
            }
        }
        let other = &corpus[below(corpus.len())];
        if let Ok(linked) = link(&[("a.o", &bytes), ("b.o", other)]) {
            let _ = open("x", &linked.bytes);
        }
    }
}
