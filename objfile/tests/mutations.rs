//! Damaged object files give errors, never panics: a second of random damage, and the damage that
//! people do.

mod random;

use std::path::Path;
use std::time::{Duration, Instant};

use probity_objfile::{Error, fuzzing::check, open};
use random::Random;

fn fixtures() -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "o"))
        .collect();
    files.sort();
    assert!(files.len() >= 6);
    files.iter().map(|p| std::fs::read(p).unwrap()).collect()
}

#[test]
fn random_damage() {
    let fixtures = fixtures();
    let mut random = Random::seeded();
    let end = Instant::now() + Duration::from_secs(1);
    let (mut tried, mut opened) = (0u32, 0u32);
    while Instant::now() < end {
        let mut bytes = fixtures[random.below(fixtures.len())].clone();
        for _ in 0..=random.below(6) {
            let at = random.below(bytes.len());
            match random.below(6) {
                0 => bytes.truncate(at),
                1 => bytes[at] = random.next() as u8,
                2 => bytes[at] ^= 1 << random.below(8),
                // Interesting numbers, where headers keep sizes and places.
                3 => {
                    let n =
                        [0u64, 1, 7, 8, u64::MAX, 1 << 31, 1 << 40, u64::MAX / 2][random.below(8)];
                    let at = at & !7;
                    if let Some(word) = bytes.get_mut(at..at + 8) {
                        word.copy_from_slice(&n.to_le_bytes());
                    }
                }
                4 => {
                    let n = [0u32, 1, 8, 0xffff, u32::MAX, 1 << 31][random.below(6)];
                    let at = at & !3;
                    if let Some(word) = bytes.get_mut(at..at + 4) {
                        word.copy_from_slice(&n.to_le_bytes());
                    }
                }
                _ => {
                    let from = random.below(bytes.len());
                    let len = random
                        .below(64)
                        .min(bytes.len() - at)
                        .min(bytes.len() - from);
                    bytes.copy_within(from..from + len, at);
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        tried += 1;
        opened += u32::from(check(&bytes));
    }
    println!("{tried} tried, {opened} opened");
    assert!(tried > 50 && opened > 0 && opened < tried);
}

#[test]
fn every_truncation() {
    for bytes in fixtures() {
        // The section headers stand last.
        for len in (0..bytes.len()).step_by(7) {
            assert!(
                open("cut", &bytes[..len]).is_err(),
                "{len} of {} bytes",
                bytes.len()
            );
        }
    }
}

#[test]
fn damage_that_people_do() {
    let good = fixtures().remove(0);
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        open("bad", &bytes).unwrap_err()
    };
    assert_eq!(open("empty", &[]).unwrap_err(), Error::NotElf);
    assert_eq!(open("text", b"#!/bin/sh\n").unwrap_err(), Error::NotElf);
    assert_eq!(
        open("zeros", &vec![0; 64 << 20]).unwrap_err(),
        Error::NotElf
    );
    assert_eq!(with(4, 1), Error::Class32);
    assert_eq!(with(5, 2), Error::BigEndian);
    assert_eq!(with(18, 62), Error::Machine(62));
    assert_eq!(with(16, 2), Error::NotRelocatable(2));
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(matches!(open("self", &program), Err(Error::Machine(_))));
}

#[test]
fn a_huge_bss_is_refused() {
    let bytes =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/data.o")).unwrap();
    // Find the header of `.bss` (SHT_NOBITS) and make it a terabyte.
    let table = u64::from_le_bytes(bytes[40..48].try_into().unwrap()) as usize;
    let count = u16::from_le_bytes(bytes[60..62].try_into().unwrap()) as usize;
    let mut bytes = bytes;
    let at = (0..count)
        .map(|i| table + i * 64)
        .find(|&at| bytes[at + 4..at + 8] == 8u32.to_le_bytes())
        .unwrap();
    bytes[at + 32..at + 40].copy_from_slice(&(1u64 << 40).to_le_bytes());
    assert!(matches!(open("huge", &bytes), Err(Error::TooBig { size, .. }) if size >= 1 << 40));
}

/// Places of the entries of the symbol table that stand for functions.
fn function_symbols(bytes: &[u8]) -> Vec<usize> {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let count = u16::from_le_bytes(bytes[60..62].try_into().unwrap()) as usize;
    let header = (0..count)
        .map(|i| word(40) + i * 64)
        .find(|&at| bytes[at + 4..at + 8] == 2u32.to_le_bytes())
        .unwrap();
    let (start, size) = (word(header + 24), word(header + 32));
    (start..start + size)
        .step_by(24)
        .filter(|&at| bytes[at + 4] & 0xf == 2)
        .collect()
}

#[test]
fn functions_that_overlap_or_reach_too_far() {
    let good =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/calls.o")).unwrap();
    let symbols = function_symbols(&good);
    assert!(symbols.len() >= 6);
    let mut refused = Vec::new();
    for &at in &symbols {
        for size in [0, 4, u64::MAX - 7, 1 << 30] {
            let mut bytes = good.clone();
            bytes[at + 16..at + 24].copy_from_slice(&u64::to_le_bytes(size));
            refused.push(open("bad", &bytes).unwrap_err());
        }
        // One slot longer: over the next function, or over the end of the section.
        let size = u64::from_le_bytes(good[at + 16..at + 24].try_into().unwrap());
        let mut bytes = good.clone();
        bytes[at + 16..at + 24].copy_from_slice(&u64::to_le_bytes(size + 8));
        refused.push(open("bad", &bytes).unwrap_err());
    }
    assert!(
        refused.iter().all(|e| matches!(e, Error::Symbol { .. })),
        "{refused:?}"
    );
    assert!(
        refused.iter().any(|e| e.to_string().contains("overlaps")),
        "{refused:?}"
    );
}
