//! The log: lines are added, a changed one is found, a torn one is told.

use probity_bundle::Time;
use probity_bundle::log::{Head, Log, end};
use serde_json::{Map, Value, json};

use crate::Rng;

fn append(bytes: &mut Vec<u8>, event: &str) -> Head {
    let details = json!({ "name": "meter", "why": "a \"reason\"\n", "seq": 7, "hash": "no" });
    let Value::Object(details) = details else {
        unreachable!()
    };
    let append = Log::read(bytes)
        .append(Time(1_800_000_000), event, details)
        .unwrap();
    bytes.truncate(append.keep as usize);
    bytes.extend(append.bytes);
    append.head
}

fn five() -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in 0..5 {
        append(&mut bytes, &format!("event-{n}"));
    }
    bytes
}

#[test]
fn lines_are_numbered_and_chained() {
    let bytes = five();
    let log = Log::read(&bytes);
    assert!(log.broken.is_none() && log.torn.is_none());
    assert_eq!(log.records.len(), 5);
    let third = &log.records[2].json;
    assert_eq!(third["seq"], 3);
    assert_eq!(third["event"], "event-2");
    assert_eq!(third["why"], "a \"reason\"\n");
    assert_eq!(third["time"], "2027-01-15T08:00:00Z");
    assert_eq!(third["prev"], log.records[1].json["hash"]);
    assert_eq!(bytes.iter().filter(|&&b| b == b'\n').count(), 5);
}

#[test]
fn a_changed_byte_is_found() {
    let bytes = five();
    let starts: Vec<usize> = [0]
        .into_iter()
        .chain(
            bytes
                .iter()
                .enumerate()
                .filter(|(_, b)| **b == b'\n')
                .map(|(i, _)| i + 1),
        )
        .collect();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let log = Log::read(&changed);
            let line = starts.iter().filter(|s| **s <= at).count();
            // The last newline gone is a torn line, not a changed one.
            if at == bytes.len() - 1 {
                assert!(log.torn.is_some());
                continue;
            }
            let broken = log
                .broken
                .unwrap_or_else(|| panic!("byte {at} bit {bit} is not seen"));
            assert!(
                broken.line <= line && broken.line + 1 >= line,
                "byte {at}: {broken}"
            );
            assert!(
                Log::read(&changed)
                    .append(Time(0), "more", Map::new())
                    .is_err()
            );
        }
    }
}

#[test]
fn lines_taken_out_moved_or_cut_off() {
    let bytes = five();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|&b| b == b'\n').collect();
    let without = |n: usize| [&lines[..n], &lines[n + 1..]].concat().concat();
    for n in 0..4 {
        let log = Log::read(&without(n));
        assert_eq!(log.broken.unwrap().line, n + 1);
    }
    let swapped = [lines[0], lines[2], lines[1], lines[3]].concat();
    assert_eq!(Log::read(&swapped).broken.unwrap().line, 2);
    // The end alone can be left out unseen, except by who remembers it.
    let head = Log::read(&bytes).head().unwrap();
    let head: Head = head.to_string().parse().unwrap();
    assert!(Log::read(&bytes).contains(&head).is_ok());
    let cut = Log::read(&without(4));
    assert!(cut.broken.is_none());
    assert_eq!(cut.contains(&head).unwrap_err().line, 5);
    assert!("5 abc".parse::<Head>().is_err());
}

/// Killed anywhere in a write: whole lines stay, the next line says what was torn.
#[test]
fn torn_lines_are_told_and_nothing_else_is_lost() {
    let whole = five();
    let last = whole[..whole.len() - 1]
        .iter()
        .rposition(|&b| b == b'\n')
        .unwrap()
        + 1;
    for cut in last..whole.len() {
        let mut bytes = whole[..cut].to_vec();
        let torn = Log::read(&bytes);
        assert_eq!(torn.records.len(), 4);
        assert_eq!(torn.torn.is_some(), cut > last);
        assert!(torn.broken.is_none());
        // From the file's end alone the same is added.
        let skip = last / 2;
        let short = end(&bytes[skip..], skip as u64);
        let more = |log: &Log| log.append(Time(9), "more", Map::new()).unwrap();
        assert_eq!(more(&short), more(&torn));
        append(&mut bytes, "more");
        let log = Log::read(&bytes);
        assert!(log.broken.is_none() && log.torn.is_none());
        let events: Vec<&str> = log.records[4..]
            .iter()
            .map(|r| r.json["event"].as_str().unwrap())
            .collect();
        match cut {
            _ if cut == last => assert_eq!(events, ["more"]),
            // The line was whole but for its newline.
            _ if cut == whole.len() - 1 => assert_eq!(events, ["event-4", "more"]),
            _ => {
                assert_eq!(events, ["torn_line", "more"]);
                assert_eq!(log.records[4].json["bytes"], cut - last);
            }
        }
    }
}

#[test]
fn random_bytes_are_no_log() {
    let mut r = Rng::seeded();
    for _ in 0..500 {
        let bytes: Vec<u8> = (0..r.below(300)).map(|_| r.below(256) as u8).collect();
        let log = Log::read(&bytes);
        assert!(log.records.is_empty());
        let _ = end(&bytes, 10);
    }
}
