//! Each relocation kind against hand-made targets, with the values libbpf gives.

use super::*;
use crate::{BtfBuilder, IntEncoding, MemberDef};

fn bits(name: &str, ty: TypeId, bit_offset: u32, bitfield_size: u32) -> MemberDef<'_> {
    MemberDef {
        name,
        ty,
        bit_offset,
        bitfield_size,
    }
}

/// `struct s { int a; struct { unsigned b; }; char arr[4]; unsigned f:3; unsigned long wide; }`
/// and an enumeration, under local names.
fn local() -> Btf {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::SIGNED); // 1
    let uint = b.int("unsigned int", 4, IntEncoding::UNSIGNED); // 2
    let arr = b.array(int, uint, 4); // 3
    let anon = b.struct_("", 4, &[MemberDef::at("b", uint, 0)]); // 4
    b.struct_(
        "s___mine",
        40,
        &[
            bits("a", int, 0, 0),
            bits("", anon, 32, 0),
            bits("arr", arr, 64, 0),
            bits("f", uint, 192, 3),
            bits("wide", uint, 224, 0),
            bits("gone", uint, 256, 0),
        ],
    ); // 5
    b.enum_(
        "e___mine",
        4,
        false,
        &[("ZERO", 0), ("ONE___x", 1), ("GONE", 2)],
    ); // 6
    b.typedef("missing", int); // 7
    b.build().unwrap()
}

const S: TypeId = TypeId(5);
const E: TypeId = TypeId(6);

/// The same, moved: `struct s { long pad; union { struct { unsigned b; }; }; ... }`.
fn target() -> Btf {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::SIGNED); // 1
    let ulong = b.int("unsigned long", 8, IntEncoding::UNSIGNED); // 2
    let uint = b.int("unsigned int", 4, IntEncoding::UNSIGNED); // 3
    let arr = b.array(int, uint, 8); // 4
    let inner = b.struct_("", 4, &[MemberDef::at("b", uint, 0)]); // 5
    let anon = b.union_("", 4, &[MemberDef::at("", inner, 0)]); // 6
    let cint = b.const_(int); // 7
    b.struct_(
        "s",
        72,
        &[
            bits("pad", ulong, 0, 0),
            bits("", anon, 64, 0),
            bits("a", cint, 96, 0),
            bits("arr", arr, 128, 0),
            bits("f", uint, 413, 5),
            bits("wide", ulong, 448, 0),
        ],
    ); // 8
    b.enum64("e", 8, false, &[("ONE", 11), ("ZERO", 1 << 40)]); // 9
    b.build().unwrap()
}

fn ask(type_id: TypeId, access: &str, kind: RelocKind) -> Result<Resolution, CoreError> {
    let rel = Relocation {
        type_id,
        access,
        kind,
    };
    relocate(&local(), &rel, &target(), &mut CandidateCache::new())
}

fn patch(type_id: TypeId, access: &str, kind: RelocKind) -> Patch {
    match ask(type_id, access, kind) {
        Ok(Resolution::Value(patch)) => patch,
        other => panic!("{access} {kind:?}: {other:?}"),
    }
}

#[test]
fn fields_move() {
    use RelocKind::*;
    let a = patch(S, "0:0", FieldByteOffset);
    assert_eq!(
        (a.original, a.value, a.size, a.signed),
        (Some(0), 12, 4, true)
    );
    assert_eq!(patch(S, "0:1:0", FieldByteOffset).value, 8);
    assert_eq!(patch(S, "0:2:3", FieldByteOffset).value, 28);
    assert_eq!(patch(S, "1:0", FieldByteOffset).value, 72 + 12);
    assert_eq!(patch(S, "1:0", FieldByteOffset).original, Some(40));
    assert_eq!(patch(S, "0:0", FieldByteSize).value, 4);
    assert_eq!(patch(S, "0:0", FieldSigned).value, 1);
    assert_eq!(patch(S, "0:1:0", FieldSigned).value, 0);
    assert_eq!(patch(S, "0:0", FieldExists).value, 1);
    assert_eq!(patch(S, "0:5", FieldExists).value, 0);
    assert_eq!(ask(S, "0:5", FieldByteOffset), Ok(Resolution::Failed));
    let wide = patch(S, "0:4", FieldByteOffset);
    assert_eq!(
        (wide.original_size, wide.size, wide.fail_memsz_adjust),
        (4, 8, false)
    );
}

#[test]
fn bitfields_shift() {
    use RelocKind::*;
    // Bits 413..418 cross a word at 416: loaded as 8 bytes from byte 48.
    let off = patch(S, "0:3", FieldByteOffset);
    assert_eq!((off.value, off.original, off.size), (48, None, 0));
    assert_eq!(patch(S, "0:3", FieldByteSize).value, 8);
    assert_eq!(patch(S, "0:3", FieldLshiftU64).value, 64 - (413 + 5 - 384));
    let right = patch(S, "0:3", FieldRshiftU64);
    assert_eq!((right.value, right.original), (59, Some(61)));
}

#[test]
fn types_and_enumerators() {
    use RelocKind::*;
    assert_eq!(patch(S, "0", TypeIdLocal).value, 5);
    assert_eq!(patch(S, "0", TypeIdTarget).value, 8);
    assert_eq!(patch(S, "0", TypeExists).value, 1);
    let size = patch(S, "0", TypeSize);
    assert_eq!((size.original, size.value), (Some(40), 72));
    // A member is gone, so it exists but does not match.
    assert_eq!(patch(S, "0", TypeMatches).value, 0);
    assert_eq!(patch(TypeId(7), "0", TypeExists).value, 0);
    assert_eq!(patch(TypeId(7), "0", TypeIdTarget).value, 0);
    assert_eq!(patch(E, "0", EnumvalValue).value, 1 << 40);
    assert_eq!(patch(E, "1", EnumvalValue).value, 11);
    assert_eq!(patch(E, "2", EnumvalExists).value, 0);
    assert_eq!(ask(E, "2", EnumvalValue), Ok(Resolution::Failed));
}

#[test]
fn bad_relocations_are_errors() {
    use RelocKind::*;
    for (id, access, kind) in [
        (S, "", FieldByteOffset),
        (S, "0:9", FieldByteOffset),
        (S, "0:-1", FieldByteOffset),
        (S, "0:2:4", FieldByteOffset),
        (S, "0:0:0", FieldByteOffset),
        (S, "0:1", TypeExists),
        (S, "0", EnumvalValue),
        (E, "3", EnumvalValue),
        (E, "0:0", EnumvalValue),
    ] {
        let got = ask(id, access, kind);
        assert!(
            matches!(got, Err(CoreError::BadAccess { .. })),
            "{access}: {got:?}"
        );
    }
    assert!(matches!(
        ask(TypeId(99), "0", TypeExists),
        Err(CoreError::NoType(_))
    ));
    assert!(matches!(
        ask(TypeId(4), "0:0", FieldExists),
        Err(CoreError::Anonymous { .. })
    ));
    let long = ["0"; 65].join(":");
    assert!(matches!(
        ask(S, &long, FieldExists),
        Err(CoreError::BadAccess { .. })
    ));
}

#[test]
fn candidates_must_agree() {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::SIGNED);
    b.struct_("s", 8, &[MemberDef::at("a", int, 0)]);
    b.struct_("s___2", 8, &[MemberDef::at("a", int, 4)]);
    b.struct_("s___3", 8, &[MemberDef::at("other", int, 4)]);
    let target = b.build().unwrap();
    let rel = Relocation {
        type_id: S,
        access: "0:0",
        kind: RelocKind::FieldByteOffset,
    };
    let got = relocate(&local(), &rel, &target, &mut CandidateCache::new());
    assert!(matches!(got, Err(CoreError::Ambiguous { .. })), "{got:?}");
    assert_eq!(describe(&local(), &rel), "struct s___mine.a");
}

#[test]
fn flexible_arrays_take_any_index() {
    let build = |len| {
        let mut b = BtfBuilder::new();
        let int = b.int("int", 4, IntEncoding::SIGNED);
        let arr = b.array(int, int, len);
        b.struct_(
            "flex",
            4,
            &[MemberDef::at("n", int, 0), MemberDef::at("data", arr, 4)],
        );
        b.build().unwrap()
    };
    let at = |local: u32, target: u32, access| {
        let rel = Relocation {
            type_id: TypeId(3),
            access,
            kind: RelocKind::FieldByteOffset,
        };
        relocate(
            &build(local),
            &rel,
            &build(target),
            &mut CandidateCache::new(),
        )
    };
    assert!(matches!(
        at(0, 0, "0:1:5"),
        Ok(Resolution::Value(Patch { value: 24, .. }))
    ));
    assert_eq!(at(0, 4, "0:1:5"), Ok(Resolution::Failed));
    assert!(matches!(
        at(4, 0, "0:1:3"),
        Ok(Resolution::Value(Patch { value: 16, .. }))
    ));
}

/// Structures of anonymous structures, each twice: 2^40 paths to look a member up in.
#[test]
fn exponential_types_end() {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::SIGNED);
    let mut inner = int;
    for _ in 0..40 {
        let m = MemberDef::at("", inner, 0);
        inner = b.union_("", 4, &[m, m]);
    }
    b.struct_("s", 4, &[MemberDef::at("", inner, 0)]);
    let target = b.build().unwrap();
    let rel = Relocation {
        type_id: S,
        access: "0:0",
        kind: RelocKind::FieldExists,
    };
    let got = relocate(&local(), &rel, &target, &mut CandidateCache::new());
    assert!(matches!(got, Err(CoreError::TooComplex(_))), "{got:?}");
    let s = target.find_struct("s").unwrap();
    assert!(target.member(s, "nothing").is_none());
    assert!(target.members_at(s, 0, 4).is_err());
}

/// A module's types are candidates only where the kernel's own have none.
#[test]
fn modules_come_second() {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::SIGNED);
    b.struct_("s", 4, &[MemberDef::at("a", int, 0)]);
    let kernel = std::sync::Arc::new(b.build().unwrap());
    let mut b = BtfBuilder::split(kernel);
    b.struct_("s", 8, &[MemberDef::at("a", int, 4)]);
    let own = b.struct_("missing_here", 8, &[MemberDef::at("a", int, 4)]);
    let module = b.build().unwrap();

    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::SIGNED);
    let s = b.struct_("s", 4, &[MemberDef::at("a", int, 0)]);
    let other = b.struct_("missing_here", 4, &[MemberDef::at("a", int, 0)]);
    let local = b.build().unwrap();
    let ask = |type_id, access, kind| {
        let rel = Relocation {
            type_id,
            access,
            kind,
        };
        match relocate(&local, &rel, &module, &mut CandidateCache::new()) {
            Ok(Resolution::Value(patch)) => patch.value,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask(s, "0:0", RelocKind::FieldByteOffset), 0);
    assert_eq!(ask(s, "0", RelocKind::TypeIdTarget), 2);
    assert_eq!(ask(other, "0:0", RelocKind::FieldByteOffset), 4);
    assert_eq!(ask(other, "0", RelocKind::TypeIdTarget), u64::from(own.0));
}

/// An array indexed by `void` once shifted all ids of the part that is kept.
#[test]
fn footprints_of_odd_arrays() {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, IntEncoding::SIGNED);
    let arr = b.array(int, TypeId::VOID, 8);
    b.struct_(
        "s",
        72,
        &[MemberDef::at("x", int, 0), MemberDef::at("arr", arr, 4)],
    );
    let target = b.build().unwrap();
    let rel = Relocation {
        type_id: S,
        access: "0:2:1",
        kind: RelocKind::FieldByteOffset,
    };
    let mut footprint = Footprint::new(&target);
    footprint
        .add(&local(), &rel, &mut CandidateCache::new())
        .unwrap();
    let small = footprint.build().unwrap().btf;
    let s = small.find_struct("s").unwrap();
    assert_eq!(small.members(s).len(), 1);
    let ask = |target: &Btf| relocate(&local(), &rel, target, &mut CandidateCache::new());
    assert_eq!(ask(&small), ask(&target));
}
