//! Builder → bytes → parse, subsets, byte orders, split sets, and hostile bytes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use probity_btf::core::{CandidateCache, Footprint, RelocKind, Relocation, relocate};
use probity_btf::{
    Btf, BtfBuilder, BtfExt, CoreRecord, Error, ExtSection, FuncLinkage, FuncRecord, HeaderOptions,
    IntEncoding, Kind, LineRecord, MemberDef, SecVar, Type, TypeId, VarLinkage,
};

/// One type of every kind.
fn every_kind() -> BtfBuilder {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::SIGNED);
    let ptr = b.ptr(int);
    let array = b.array(ptr, int, 3);
    let bits = MemberDef {
        name: "bits",
        ty: int,
        bit_offset: 221,
        bitfield_size: 3,
    };
    let s = b.struct_(
        "s",
        32,
        &[
            MemberDef::at("array", array, 0),
            MemberDef::at("", TypeId(5), 24),
            bits,
        ],
    );
    let u = b.union_(
        "",
        4,
        &[MemberDef::at("low", int, 0), MemberDef::at("ptr", int, 0)],
    );
    let e = b.enum_("e", 4, true, &[("MINUS", -1), ("ONE", 1)]);
    b.enum64("wide", 8, false, &[("BIG", 1 << 40), ("ALL", -1)]);
    let fwd = b.fwd("elsewhere", true);
    let to_fwd = b.ptr(fwd);
    let typedef = b.typedef("t", s);
    let volatile = b.volatile(typedef);
    let const_ = b.const_(volatile);
    let ptr = b.ptr(const_);
    let restrict = b.restrict(ptr);
    let proto = b.func_proto(e, &[("r", restrict), ("f", to_fwd), ("", TypeId::VOID)]);
    let func = b.func("call", proto, FuncLinkage::Global);
    let var = b.var("v", typedef, VarLinkage::Static);
    b.datasec(
        ".data",
        32,
        &[SecVar {
            var,
            offset: 0,
            size: 32,
        }],
    );
    let float = b.float("double", 8);
    b.decl_tag("tagged", func, Some(1));
    b.decl_tag("tagged", s, None);
    let tag = b.type_tag("user", float);
    b.ptr(tag);
    assert_eq!(u, TypeId(5));
    b
}

#[test]
fn every_kind_round_trips() {
    let built = every_kind();
    let btf = built.build().unwrap();
    assert_eq!(btf.to_bytes(), built.to_bytes());
    assert_eq!(BtfBuilder::from_btf(&btf).to_bytes(), built.to_bytes());
    let again = Btf::parse(&btf.to_bytes()).unwrap();
    let list = |btf: &Btf| {
        btf.types()
            .map(|(id, _)| btf.listing(id))
            .collect::<Vec<_>>()
    };
    assert_eq!(list(&again), list(&btf));

    let s = btf.find_struct("s").unwrap();
    assert_eq!(btf.member_offset(s, "array[2]").unwrap().byte_offset(), 16);
    assert_eq!(btf.member_offset(s, "ptr").unwrap().byte_offset(), 24);
    let bits = btf.member_offset(s, "bits").unwrap();
    assert_eq!(
        (bits.bit_offset, bits.bit_size, bits.bitfield),
        (221, 3, true)
    );
    assert!(matches!(
        btf.member_offset(s, "array[3]"),
        Err(Error::OutOfBounds { .. })
    ));
    assert!(matches!(
        btf.member_offset(s, "nothing"),
        Err(Error::NoMember { .. })
    ));
    assert!(matches!(
        btf.member_offset(s, "array["),
        Err(Error::BadPath(_))
    ));
    let leaf = btf.member_at(s, 8, 8).unwrap();
    assert_eq!((leaf.path.as_str(), leaf.in_union), ("array[1]", false));
    let leaf = btf.member_at(s, 24, 4).unwrap();
    assert_eq!((leaf.path.as_str(), leaf.in_union), ("low", true));
    assert_eq!(btf.member_at(s, 4, 8), None);
    assert_eq!(btf.path_at(s, 20), "array[2]+4");

    let func = btf.find_func("call").unwrap();
    assert_eq!(
        btf.type_name(func),
        "enum e call(const volatile t *restrict, union elsewhere *, ...)"
    );
    assert_eq!(btf.find_enum_value("ALL").unwrap().1.value, -1);
    assert_eq!(btf.find_enum_value("MINUS").unwrap().1.value, -1);
    assert_eq!(btf.find_type("struct s"), Some(s));
    assert_eq!(
        btf.find("v", Kind::Var).map(|v| btf.size_of(v)),
        Some(Some(32))
    );
}

#[test]
fn both_byte_orders() {
    let mut built = every_kind();
    built.set_big_endian(true);
    let big = Btf::parse(&built.to_bytes()).unwrap();
    assert!(big.is_big_endian());
    assert_eq!(big.to_bytes(), built.to_bytes());
    assert_eq!(
        big.member_offset(big.find_struct("s").unwrap(), "ptr")
            .unwrap()
            .byte_offset(),
        24
    );
}

#[test]
fn split_sets_continue_their_base() {
    let base = Arc::new(every_kind().build().unwrap());
    let mut b = BtfBuilder::split(base.clone());
    let s = base.find_struct("s").unwrap();
    let own = b.struct_(
        "own",
        40,
        &[
            MemberDef::at("base", s, 0),
            MemberDef::at("more", TypeId(1), 32),
        ],
    );
    assert_eq!(own.0, base.len());
    let split = Btf::parse_split(base.clone(), &b.to_bytes()).unwrap();
    assert_eq!(split.to_bytes(), b.to_bytes());
    assert_eq!(split.len(), base.len() + 1);
    assert_eq!(split.find_struct("own"), Some(own));
    assert_eq!(split.find_struct("s"), Some(s));
    assert_eq!(
        split
            .member_offset(own, "base.array[1]")
            .unwrap()
            .byte_offset(),
        8
    );
    assert_eq!(split.name(own), "own");
    // On its own it refers to types that are not there.
    assert!(Btf::parse(&b.to_bytes()).is_err());
    let whole = split.subset(&[own], false).unwrap();
    let own = whole.btf.find_struct("own").unwrap();
    assert_eq!(
        whole
            .btf
            .member_offset(own, "base.array[1]")
            .unwrap()
            .byte_offset(),
        8
    );
}

#[test]
fn subsets_keep_layouts() {
    let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        eprintln!("skipped: this kernel has no BTF");
        return;
    };
    let kernel = Btf::parse(&bytes).unwrap();
    let task = kernel.find_struct("task_struct").unwrap();
    let small = kernel.subset(&[task], false).unwrap();
    eprintln!(
        "{} of {} types, {} bytes",
        small.btf.len(),
        kernel.len(),
        small.btf.to_bytes().len()
    );
    assert!(small.btf.len() < kernel.len() / 10);
    let new = small.ids[&task];
    assert_eq!(small.btf.size_of(new), kernel.size_of(task));
    for path in [
        "tgid",
        "comm",
        "se.avg.util_avg",
        "thread.sp",
        "mm",
        "sched_reset_on_fork",
    ] {
        let (a, b) = (
            kernel.member_offset(task, path),
            small.btf.member_offset(new, path),
        );
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!(
            (a.bit_offset, a.bit_size, a.bitfield),
            (b.bit_offset, b.bit_size, b.bitfield)
        );
        assert_eq!(kernel.type_name(a.ty), small.btf.type_name(b.ty));
    }
    let whole = kernel.subset(&[task], true).unwrap();
    assert!(whole.btf.len() > small.btf.len());
}

#[test]
fn ext_round_trips() {
    let mut b = every_kind();
    let (file, text, access) = (b.string("a.c"), b.string("return 0;"), b.string("0:1"));
    let section = "xdp".to_owned();
    let ext = BtfExt {
        funcs: vec![ExtSection {
            section: section.clone(),
            records: vec![FuncRecord {
                insn_off: 0,
                type_id: TypeId(16),
            }],
        }],
        lines: vec![ExtSection {
            section: section.clone(),
            records: vec![
                LineRecord {
                    insn_off: 0,
                    file,
                    text,
                    line: 3,
                    column: 5,
                },
                LineRecord {
                    insn_off: 8,
                    file,
                    text,
                    line: 70_000,
                    column: 1023,
                },
            ],
        }],
        core_relos: vec![ExtSection {
            section,
            records: vec![CoreRecord {
                insn_off: 8,
                type_id: TypeId(4),
                access,
                kind: 0,
            }],
        }],
    };
    let bytes = ext.to_bytes(&mut b);
    let btf = b.build().unwrap();
    assert_eq!(BtfExt::parse(&bytes, &btf).unwrap(), ext);
    assert_eq!(btf.str_at(text), Some("return 0;"));
    for len in 0..bytes.len() {
        assert!(BtfExt::parse(&bytes[..len], &btf).is_err(), "cut at {len}");
    }
}

#[test]
fn truncated_and_foreign_bytes_are_errors() {
    let bytes = every_kind().to_bytes();
    for len in 0..bytes.len() {
        assert!(Btf::parse(&bytes[..len]).is_err(), "cut at {len}");
    }
    assert!(matches!(
        Btf::parse(b"\x7fELF    "),
        Err(Error::Truncated { .. })
    ));
    assert!(matches!(Btf::parse(&[0; 64]), Err(Error::Magic(0))));
    assert!(Btf::parse(&vec![0; 64 << 20]).is_err());
}

#[test]
fn endless_chains_are_refused() {
    let mut b = BtfBuilder::new();
    b.const_(TypeId(2));
    b.typedef("loop", TypeId(1));
    assert!(matches!(b.build(), Err(Error::Nesting { .. })));

    let mut b = BtfBuilder::new();
    b.array(TypeId(1), TypeId(1), 2);
    assert!(matches!(b.build(), Err(Error::Nesting { .. })));

    let mut b = BtfBuilder::new();
    let mut id = b.int("int", 4, IntEncoding::SIGNED);
    for _ in 0..1000 {
        id = b.const_(id);
    }
    assert!(matches!(b.build(), Err(Error::Nesting { .. })));

    // A structure inside itself has a size, but no alignment and no C.
    let mut b = BtfBuilder::new();
    let s = b.struct_(
        "s",
        8,
        &[
            MemberDef::at("s", TypeId(1), 0),
            MemberDef::at("", TypeId(1), 0),
        ],
    );
    let btf = b.build().unwrap();
    assert_eq!(btf.size_of(s), Some(8));
    assert_eq!(btf.align_of(s), None);
    assert!(btf.member(s, "x").is_none());
    assert!(btf.members_at(s, 0, 4).is_err());
    assert!(btf.c_header(&HeaderOptions::default()).is_err());
}

/// Everything that can be asked, of bytes with a few of them changed.
#[test]
fn mutated_bytes_never_panic() {
    let seed: u64 = match std::env::var("TEST_SEED").ok().and_then(|s| s.parse().ok()) {
        Some(seed) => seed,
        None => std::time::UNIX_EPOCH
            .elapsed()
            .map_or(1, |d| d.as_nanos() as u64),
    };
    eprintln!("TEST_SEED={seed}");
    let mut state = seed | 1;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let good = every_kind().to_bytes();
    let local = every_kind().build().unwrap();
    let (start, mut tried, mut parsed) = (Instant::now(), 0, 0);
    while start.elapsed() < Duration::from_secs(1) {
        let mut bytes = good.clone();
        for _ in 0..1 + random(4) {
            let at = random(bytes.len());
            bytes[at] = match random(4) {
                0 => 0xff,
                1 => 0,
                2 => random(32) as u8,
                _ => random(256) as u8,
            };
        }
        tried += 1;
        let Ok(btf) = Btf::parse(&bytes) else {
            continue;
        };
        parsed += 1;
        ask_everything(&btf, &local);
        let _ = BtfExt::parse(&bytes[random(bytes.len())..], &btf);
    }
    eprintln!("{parsed} of {tried} mutants parsed");
    assert!(parsed > 0);
}

fn ask_everything(btf: &Btf, local: &Btf) {
    let mut cache = CandidateCache::new();
    let mut footprint = Footprint::new(btf);
    for (id, ty) in btf.types() {
        let size = btf.size_of(id).unwrap_or(16);
        btf.align_of(id);
        btf.listing(id);
        btf.type_name(id);
        btf.params(id);
        btf.find(btf.name(id), Kind::Struct);
        for offset in [0, 8, u64::from(size).saturating_sub(1), u64::MAX] {
            let _ = btf.members_at(id, offset, 4);
            btf.path_at(id, offset);
        }
        if let Type::Struct(c) | Type::Union(c) = ty {
            for m in c.members.iter() {
                let _ = btf.member_offset(id, m.name);
            }
        }
        let _ = btf.subset(&[id], false);
        for kind in (0..13).filter_map(RelocKind::from_number) {
            for access in ["0", "0:0", "1:0:1", "0:1:0", "0:2"] {
                let mut new = CandidateCache::new();
                let _ = relocate(
                    btf,
                    &Relocation {
                        type_id: id,
                        access,
                        kind,
                    },
                    local,
                    &mut new,
                );
                let _ = relocate(
                    local,
                    &Relocation {
                        type_id: id,
                        access,
                        kind,
                    },
                    btf,
                    &mut cache,
                );
            }
        }
    }
    for (id, _) in local.types() {
        for (kind, access) in [
            (RelocKind::FieldExists, "0:0:1"),
            (RelocKind::TypeMatches, "0"),
        ] {
            let _ = footprint.add(
                local,
                &Relocation {
                    type_id: id,
                    access,
                    kind,
                },
                &mut cache,
            );
        }
    }
    footprint.build().unwrap();
    btf.find_enum_value("ONE");
    let _ = btf.c_header(&HeaderOptions {
        kfuncs: true,
        ..HeaderOptions::default()
    });
    assert!(Btf::parse(&btf.to_bytes()).is_ok());
}
