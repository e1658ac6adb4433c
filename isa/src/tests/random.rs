//! Random words and texts: whatever decodes encodes to itself and reads back from its text;
//! nothing panics. `TEST_SEED` repeats a run.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::lex::lex;
use crate::parse::Parser;
use crate::*;

fn runner(cases: u32) -> TestRunner {
    let seed = match std::env::var("TEST_SEED") {
        Ok(text) => text.parse().expect("TEST_SEED is a number"),
        Err(_) => std::time::UNIX_EPOCH
            .elapsed()
            .map_or(0, |d| d.as_nanos() as u64),
    };
    println!("TEST_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&u64::to_le_bytes(seed));
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Words near to instructions: an existing opcode, and fields that are often small or zero.
fn word() -> impl Strategy<Value = RawInsn> {
    let opcode = prop_oneof![
        (0..table::TABLE.len()).prop_map(|i| table::TABLE[i].opcode),
        any::<u8>(),
    ];
    let small = || prop_oneof![3 => Just(0i32), 2 => -1..=33i32, 1 => any::<i32>()];
    let imm = prop_oneof![
        2 => small(),
        1 => prop::sample::select(vec![0x40, 0xa1, 0xe1, 0xf1, 0x100, 0x110, 16, 32, 64]),
    ];
    (
        opcode,
        0..16u8,
        prop_oneof![Just(0u8), 0..16u8],
        small(),
        imm,
    )
        .prop_map(|(opcode, dst, src, off, imm)| RawInsn {
            opcode,
            dst,
            src,
            off: off as i16,
            imm,
        })
}

#[test]
fn words_decode_and_encode_or_are_refused() {
    let parser = Parser::new();
    let decoded = std::cell::Cell::new(0);
    let result = runner(20_000).run(&prop::collection::vec(word(), 1..3), |raw| {
        if let Ok(insns) = decode(&raw) {
            decoded.set(decoded.get() + 1);
            prop_assert_eq!(insns.len(), raw.len());
            prop_assert_eq!(encode(&insns), Ok(raw.clone()));
            for insn in insns.iter().filter(|i| **i != Insn::Imm64High) {
                let text = insn.to_string();
                let parsed = parser.statement(&text, &lex(&text).unwrap(), &|_| None);
                prop_assert_eq!(parsed.map(|p| p.insn), Ok(*insn));
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{e}"));
    let decoded = decoded.get();
    assert!(
        decoded > 500,
        "only {decoded} decoded: the words are too wild"
    );
}

#[test]
fn bytes_never_panic() {
    let result = runner(2_000).run(&prop::collection::vec(any::<u8>(), 0..64), |bytes| {
        if let Ok(raw) = from_bytes(&bytes) {
            prop_assert_eq!(to_bytes(&raw), bytes);
            if let Ok(insns) = decode(&raw) {
                prop_assert_eq!(encode(&insns), Ok(raw));
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{e}"));
}

/// Pieces of assembly in any order: an answer or an error, never a panic.
#[test]
fn texts_never_panic() {
    let pieces = vec![
        "r1",
        "w2",
        "r11",
        "=",
        "+=",
        "s>",
        "(",
        ")",
        "*",
        "u8",
        "s32",
        "[",
        "]",
        ",",
        ":",
        "-",
        "+",
        "~",
        "0",
        "1f",
        "1b",
        "1",
        "0xffffffffffffffff",
        "ll",
        "if",
        "goto",
        "call",
        "lock",
        "exit",
        "map",
        "a",
        "b",
        ".byte",
        ".quad",
        ".section",
        ".map",
        ".equ",
        ".zero",
        ".p2align",
        ".type",
        ".size",
        ".comm",
        ".rodata",
        ".text",
        "\"x\"",
        "@",
        "function",
        "kind",
        "\n",
        ";",
        "#",
        "/*",
        "*/",
        "é",
        "\"",
        "<<",
        "/",
        "%",
        ".license",
        ".globl",
        "kfunc",
        "pc",
        "skb",
    ];
    let text = prop::collection::vec(prop::sample::select(pieces), 0..40)
        .prop_map(|words| words.join(" "));
    let result = runner(1_500).run(&text, |text| {
        if let Ok(assembly) = assemble(&text, &|_| None) {
            for section in &assembly.sections {
                prop_assert!(encode(section.insns()).is_ok(), "{}", text);
            }
        }
        let _ = text.parse::<AsmInsn>();
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{e}"));
}
