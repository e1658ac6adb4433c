//! Descriptions, policies and sessions of the control socket that were damaged: a second of it. `cargo xtask fuzz host` goes on all night.

mod common;
#[path = "../../objfile/tests/random/mod.rs"]
mod random;

use std::time::{Duration, Instant};

use common::{host, object};
use probity_host::fuzzing::{check, session};
use random::Random;

fn damage(r: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=r.below(4) {
        let at = r.below(bytes.len());
        match r.below(5) {
            _ if bytes.is_empty() => {}
            0 => bytes.truncate(at),
            1 => bytes[at] = r.next() as u8,
            2 => bytes[at] ^= 1 << r.below(8),
            3 => bytes[at] = b"0123456789-\"{}[],:\n"[r.below(19)],
            _ => {
                let n = r.below(20).min(bytes.len() - at);
                let piece = bytes[at..at + n].to_vec();
                let to = r.below(bytes.len());
                bytes.splice(to..to, piece);
            }
        }
    }
}
#[test]
fn damaged_descriptions_are_refused_or_mean_what_they_say() {
    let good = host().description().to_json().into_bytes();
    assert!(check(&good));
    let mut r = Random::seeded();
    let end = Instant::now() + Duration::from_secs(1);
    let (mut tried, mut read) = (0, 0);
    while Instant::now() < end {
        let mut bytes = good.clone();
        damage(&mut r, &mut bytes);
        read += u32::from(check(&bytes));
        tried += 1;
    }
    println!("{tried} descriptions, {read} of them read");
    assert!(tried > 100 && read > 0 && read < tried);
}

#[test]
fn damaged_sessions_are_answered() {
    let host = common::builder().allow_unsigned().build().unwrap();
    let limit = object("limit");
    let line = |op: &str| {
        format!(
            "{{\"op\":\"{op}\",\"name\":\"e\",\"bytes\":{}}}\n",
            limit.len()
        )
    };
    let mut good = b"{\"op\":\"describe\"}\n".to_vec();
    for op in ["load", "replace"] {
        good.extend(line(op).as_bytes());
        good.extend(&limit);
        good.extend(b"{\"op\":\"info\",\"name\":\"e\"}\n{\"op\":\"list\"}\n{\"op\":\"disable\",\"name\":\"e\"}\n");
    }
    good.extend(b"{\"op\":\"unload\",\"name\":\"e\",\"wait\":true}\n");
    assert_eq!(session(&host, &good), 10);
    let mut r = Random::seeded();
    let end = Instant::now() + Duration::from_secs(2);
    let (mut tried, mut done) = (0, 0);
    while Instant::now() < end {
        let mut bytes = good.clone();
        damage(&mut r, &mut bytes);
        done += session(&host, &bytes);
        tried += 1;
    }
    println!("{tried} sessions, {done} requests done");
    assert!(tried > 10 && done > 0);
}
