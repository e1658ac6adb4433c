//! Instructions → text → instructions, and the errors of text.

use super::samples;
use crate::lex::{Tok, lex};
use crate::parse::Parser;
use crate::table::{ALIASES, TABLE};
use crate::*;

#[test]
fn every_encodable_instruction_has_its_text() {
    let parser = Parser::new();
    let mut seen = std::collections::HashMap::new();
    for row in &TABLE {
        for raw in samples::of(row) {
            let insn = decode(&raw).unwrap()[0];
            let text = insn.to_string();
            let tokens = lex(&text).unwrap();
            let parsed = parser.statement(&text, &tokens, &|_| None);
            let expected = AsmInsn { insn, symbol: None };
            assert_eq!(parsed, Ok(expected), "{text}");
            if let Some(other) = seen.insert(text.clone(), insn) {
                assert_eq!(other, insn, "both read {text}");
            }
        }
    }
}

/// The text of an instruction in the mnemonic dialect.
fn mnemonic(insn: Insn) -> String {
    let mut insns = vec![insn];
    if insn.slots() == 2 {
        insns.push(Insn::Imm64High);
    }
    let listing = Listing::new(&insns).dialect(Dialect::Gnu);
    listing.line(0).unwrap()
}

#[test]
fn every_encodable_instruction_has_its_mnemonic() {
    let parser = Parser::new();
    let mut seen = std::collections::HashMap::new();
    for row in &TABLE {
        for raw in samples::of(row) {
            let insn = decode(&raw).unwrap()[0];
            let text = mnemonic(insn);
            let tokens = lex(&text).unwrap();
            let parsed = parser.statement(&text, &tokens, &|_| None);
            assert_eq!(parsed, Ok(AsmInsn { insn, symbol: None }), "{text}");
            if let Some(other) = seen.insert(text.clone(), insn) {
                assert_eq!(other, insn, "both read {text}");
            }
        }
    }
    let llvm: std::collections::HashSet<_> = TABLE.iter().map(|r| (r.text, r.kind)).collect();
    for (kind, text) in gnu::WORDS.iter().chain(&gnu::OTHER_WORDS) {
        assert!(crate::index::row_of(*kind).is_some(), "{text}");
        assert!(llvm.iter().all(|(t, k)| t != text || k == kind), "{text}");
    }
}

#[test]
fn mnemonics() {
    for (text, llvm, gnu) in [
        ("mov r1, 5", "r1 = 5", "mov %r1, 5"),
        ("mov32 %r1, 0xffffffff", "w1 = -1", "mov32 %r1, -1"),
        (
            "add64 r1, 0x80000000",
            "r1 += -2147483648",
            "add %r1, -2147483648",
        ),
        (
            "ldxdw r0, [r1+8]",
            "r0 = *(u64 *)(r1 + 8)",
            "ldxdw %r0, [%r1+8]",
        ),
        (
            "ldxsb %r0, [%r1 - 1]",
            "r0 = *(s8 *)(r1 - 1)",
            "ldxsb %r0, [%r1-1]",
        ),
        ("stxb [r1], r2", "*(u8 *)(r1 + 0) = r2", "stxb [%r1], %r2"),
        (
            "stw [r10-4], 0x88776655",
            "*(u32 *)(r10 - 4) = -2005440939",
            "stw [%r10-4], -2005440939",
        ),
        ("jne r1, r2, +3", "if r1 != r2 goto +3", "jne %r1, %r2, +3"),
        (
            "jsgt32 r1, -1, -2",
            "if w1 s> -1 goto -2",
            "jsgt32 %r1, -1, -2",
        ),
        ("ja32 +70000", "gotol +70000", "ja32 +70000"),
        (
            "lock fetch add32 [r1+4], r2",
            "w2 = atomic_fetch_add((u32 *)(r1 + 4), w2)",
            "lock fetch add32 [%r1+4], %r2",
        ),
        (
            "lock cmpxchg [r10-8], r2",
            "r0 = cmpxchg_64(r10 - 8, r0, r2)",
            "lock cmpxchg [%r10-8], %r2",
        ),
        (
            "xadddw [r1+8], r2",
            "lock *(u64 *)(r1 + 8) += r2",
            "lock add [%r1+8], %r2",
        ),
        ("be16 r3", "r3 = be16 r3", "be16 %r3"),
        ("endle %r3, 32", "r3 = le32 r3", "le32 %r3"),
        ("bswap64 r3", "r3 = bswap64 r3", "swap64 %r3"),
        ("movsx832 r1, r2", "w1 = (s8)w2", "movsx832 %r1, %r2"),
        ("movs %r1, %r2, 32", "r1 = (s32)r2", "movsx3264 %r1, %r2"),
        (
            "lddw r1, 0x1122334455667788",
            "r1 = 0x1122334455667788 ll",
            "lddw %r1, 0x1122334455667788",
        ),
        (
            "ldindw r2, 14",
            "r0 = *(u32 *)skb[r2 + 14]",
            "ldindw %r2, 14",
        ),
        ("call local 3", "call pc+3", "call local 3"),
        ("call local -3", "call pc-3", "call local -3"),
        ("call helper 5", "call 5", "call 5"),
        ("callx r3", "callx r3", "callx %r3"),
        ("call %r3", "callx r3", "callx %r3"),
        ("neg32 r3", "w3 = -w3", "neg32 %r3"),
        ("gotol +3", "gotol +3", "ja32 +3"),
        ("may_goto +3", "may_goto +3", "may_goto +3"),
    ] {
        let insn: Insn = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(insn.to_string(), llvm);
        assert_eq!(mnemonic(insn), gnu);
    }
    let assembly = assemble(
        "jeq r1, 0, out\ncall local f\nout: exit\nf: mov r0, 1\nexit",
        &|_| None,
    );
    let insns = assembly.unwrap().sections[0].insns().to_vec();
    assert_eq!(insns[0].to_string(), "if r1 == 0 goto +1");
    assert_eq!(insns[1].to_string(), "call pc+1");
    for (text, message) in [
        (
            "mov r1",
            "1:7: expected `,`, found the end of the statement",
        ),
        (
            "mov r11, 1",
            "1:5: expected a register r0 to r10, found `r11`",
        ),
        (
            "add r1, 0x100000000",
            "1:9: 4294967296 does not fit 32 bits",
        ),
        ("ldxw r1, r2", "1:10: expected `[`, found `r2`"),
        (
            "lock nand [r1], r2",
            "1:6: no instruction goes on with `nand` here",
        ),
    ] {
        let error = text.parse::<AsmInsn>().unwrap_err().to_string();
        assert!(error.starts_with(message), "{text}: {error}");
    }
}

#[test]
fn the_table_tokenises() {
    for text in TABLE
        .iter()
        .map(|r| r.text)
        .chain(ALIASES.iter().map(|a| a.1))
    {
        for piece in template::pieces(text) {
            if let template::Piece::Literal(literal) = piece {
                let tokens = lex(literal).unwrap();
                assert!(tokens.iter().all(|t| t.tok != Tok::Str), "{text}");
            }
        }
    }
    for (kind, text) in &ALIASES {
        assert!(crate::index::row_of(*kind).is_some(), "{text}");
        assert!(crate::index::row_of(*kind).unwrap().text != *text, "{text}");
    }
}

#[test]
fn spellings() {
    for (text, canonical) in [
        ("r1=5", "r1 = 5"),
        ("r3 = w9", "w3 = w9"),
        ("w1 = 0xffffffff", "w1 = -1"),
        ("r1 = 0xffffffffffffffff", "r1 = -1"),
        ("r1 = 1 << 4 | 3", "r1 = 19"),
        ("r1 = *(u64*)(r2)", "r1 = *(u64 *)(r2 + 0)"),
        ("w1 = *(u8 *)(r2 + -4)", "r1 = *(u8 *)(r2 - 4)"),
        ("*(u32 *)(r10 -8) = w3", "*(u32 *)(r10 - 8) = r3"),
        ("if r1 s>= -5 goto pc+3", "if r1 s>= -5 goto +3"),
        ("goto pc-1", "goto -1"),
        ("r0 = *(u32 *)skb[r2 + 14]", "r0 = *(u32 *)skb[r2 + 14]"),
        ("r0 = *(u32 *)skb[r2]", "r0 = *(u32 *)skb[r2]"),
        (
            "r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)",
            "r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)",
        ),
        (
            "r0 = atomic_cmpxchg((u32 *)(r1 +0), r0, r2)",
            "w0 = cmpxchg32_32(r1 + 0, w0, w2)",
        ),
        ("r1 = -1 ll", "r1 = 0xffffffffffffffff ll"),
        ("call pc+5", "call pc+5"),
        ("call kfunc[7, 0]", "call kfunc[7, 0]"),
        ("exit # done", "exit"),
    ] {
        let insn: Insn = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(insn.to_string(), canonical);
    }
}

#[test]
fn symbols() {
    for (text, name, usage, addend) in [
        ("goto out", "out", SymbolUse::Jump, 0),
        ("if w1 & 1 goto 1f", "1f", SymbolUse::Jump, 0),
        ("may_goto .Lend", ".Lend", SymbolUse::Jump, 0),
        (
            "call bpf_map_lookup_elem",
            "bpf_map_lookup_elem",
            SymbolUse::Call,
            0,
        ),
        ("r1 = map counts ll", "counts", SymbolUse::Map, 0),
        ("r1 = map[counts] ll", "counts", SymbolUse::Map, 0),
        ("r1 = counts ll", "counts", SymbolUse::Address, 0),
        ("r1 = table + 8 ll", "table", SymbolUse::Address, 8),
        ("r1 = map ll", "map", SymbolUse::Address, 0),
    ] {
        let parsed: AsmInsn = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        let name = name.to_owned();
        assert_eq!(
            parsed.symbol,
            Some(Symbol {
                name,
                usage,
                addend
            }),
            "{text}"
        );
    }
    let call: AsmInsn = "call f".parse().unwrap();
    assert_eq!(call.insn, Insn::Call(CallTarget::Subprog { rel: -1 }));
    assert!("goto out".parse::<Insn>().is_err());
}

#[test]
fn errors_point_at_the_fault() {
    for (text, message) in [
        ("frobnicate r1", "1:1: `frobnicate` starts no instruction"),
        (
            "r1 = *(u9 *)(r2 + 0)",
            "1:8: expected `u32` or `u16` or `u8` or `u64` or `s32` or `s16` or `s8`, found `u9`",
        ),
        (
            "r1 = 0x80000000",
            "1:6: 2147483648 does not fit a 32-bit immediate, which is sign-extended; load it with `ll` first",
        ),
        ("r11 = 1", "1:1: `r11` starts no instruction"),
        ("r1 = be16 r2", "1:11: must be r1, the same register"),
        (
            "*(u8 *)(r1 + 40000) = 1",
            "1:12: 40000 does not fit a signed 16-bit offset",
        ),
        (
            "if r1 > 5 goto",
            "1:15: expected a label, or `+` or `-` and a number of slots, found the end of the statement",
        ),
        (
            "exit 0",
            "1:6: expected the end of the statement, found `0`",
        ),
        (
            "r1 = table",
            "1:6: `table` is not a number; `table ll` is an address",
        ),
        ("goto +99999", "1:6: 99999 does not fit a 16-bit jump"),
        ("exit\nexit", "2:1: expected one instruction only"),
        ("", "1:1: the end of the statement starts no instruction"),
    ] {
        let error = text.parse::<AsmInsn>().unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
    }
}

#[test]
fn listings() {
    let lines = [
        "r6 = 0x1122334455 ll",
        "if r6 == 0 goto +2",
        "call 14",
        "call pc+1",
        "exit",
        "r0 = subprog[-2] ll",
        "exit",
    ];
    let mut insns: Vec<Insn> = Vec::new();
    for line in lines {
        insns.push(line.parse().unwrap());
        if insns.last().unwrap().slots() == 2 {
            insns.push(Insn::Imm64High);
        }
    }
    let helper = |id| (id == 14).then(|| "bpf_get_current_pid_tgid".to_owned());
    let listing = Listing::new(&insns).label(0, "entry").label_targets();
    assert_eq!(
        listing.clone().helpers(&helper).to_string(),
        "entry:\n0: r6 = 0x1122334455 ll\n2: if r6 == 0 goto L5\n3: call bpf_get_current_pid_tgid\n\
         4: call sub_6\nL5:\n5: exit\nsub_6:\n6: r0 = L5 ll\n8: exit\n"
            .replace("L5", "sub_5")
    );
    assert_eq!(listing.line(3).unwrap(), "call 14");
    assert_eq!(listing.line(99), None);
}
