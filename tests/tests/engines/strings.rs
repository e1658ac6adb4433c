//! Comparisons with constant strings of every length, done in place and not: the same on both engines.

use std::sync::Arc;

use probity_jit::Lowerings;
use probity_tests::generate::Rng;

use crate::harness::{Pair, assemble, context, in_process, prove};

/// A program that compares `size` bytes of what its context holds, copied to its stack or to a map's value.
fn program(string: &[u8], size: usize, at: usize, on_stack: bool) -> String {
    let mut text = String::from(".section raw_tracepoint\n.globl main\nmain:\n");
    if !on_stack {
        text += "r6 = memory ll\n";
    } else {
        text += "r6 = r10\nr6 += -80\n";
    }
    for n in 0..10 {
        text += &format!("r2 = *(u64 *)(r1 + {})\n", 8 * n);
        text += &format!("*(u64 *)(r6 + {}) = r2\n", 8 * n);
    }
    text += &format!("r1 = r6\nr1 += {at}\nr2 = {size}\nr3 = string ll\n");
    text += "call bpf_strncmp\nexit\n.rodata string\n";
    let bytes: Vec<String> = string.iter().chain(&[0]).map(u8::to_string).collect();
    text += &format!(".byte {}\n", bytes.join(", "));
    text += ".data memory\n.quad 0, 0, 0, 0, 0, 0, 0, 0, 0, 0\n";
    text
}

#[test]
fn constant_strings_are_compared_alike() {
    let mut r = Rng::seeded("strings");
    let platform = in_process();
    let (mut equal, mut other) = (0, 0);
    for _ in 0..150 {
        let len = r.of(&[
            0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 23, 31, 63, 64, 70,
        ]);
        // Few letters, so that beginnings are the same; never a NUL.
        let letter = |r: &mut Rng| r.of(&[b'a', b'a', b'b', 0x7f, 0x80, 0xff]);
        let string: Vec<u8> = (0..len).map(|_| letter(&mut r)).collect();
        let size = match r.below(3) {
            0 => len + 1,
            _ => 1 + r.below(72) as usize,
        };
        let at = r.below((80 - size.min(72)) as u64) as usize;
        let text = program(&string, size, at, r.once_in(2));
        let object =
            assemble(&platform, "strings", &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let verified = prove(&platform, &object).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let verified = Arc::new(verified);
        for lowerings in [Lowerings::ALL, Lowerings::NONE, Lowerings::HELPERS] {
            let pair = Pair::with(verified.clone(), lowerings).expect("an instance");
            for _ in 0..20 {
                let mut memory = [0u8; 80];
                for b in &mut memory {
                    *b = letter(&mut r);
                }
                // The string itself, changed in a byte or not at all.
                for (to, b) in memory[at..].iter_mut().zip(string.iter().chain(&[0])) {
                    *to = *b;
                }
                if len > 0 && r.once_in(2) {
                    let n = at + r.below(len as u64) as usize;
                    if let Some(b) = memory.get_mut(n) {
                        *b = r.next() as u8;
                    }
                }
                let words: Vec<u64> = memory
                    .chunks_exact(8)
                    .map(|c| u64::from_le_bytes(c.try_into().expect("eight bytes")))
                    .collect();
                let (i, j) = pair.call(0, &|| context(17, &words, &[]), 0);
                assert_eq!(i, j, "{string:x?} {memory:x?}, {lowerings}\n{text}");
                let end = string.iter().chain(&[0]).zip(&memory[at..]).take(size);
                let want = end.clone().find(|(a, b)| a != b);
                let want = want.map_or(0, |(a, b)| if b < a { u64::MAX } else { 1 });
                assert_eq!(i.result, Ok(want), "{string:x?} {memory:x?}\n{text}");
                *(if want == 0 { &mut equal } else { &mut other }) += 1;
            }
        }
    }
    println!("{equal} were equal, {other} were not");
    assert!(equal > 100 && other > 100);
}
