//! Ladders of branches: joins at their merge points cost nothing that walking path by path proves, and hide nothing
//! that it finds.

use std::fmt::Write;
use std::sync::Arc;

use probity_platform::{NEWEST, Platform, Policy};
use probity_verifier::{Options, ProgramReport, Verdict, verify};

/// `start`, `n` rungs that a random number's bit takes or not, and `end`, with r9 a map value of `size` bytes.
fn ladder(size: u64, start: &str, n: u64, rung: impl Fn(u64) -> String, end: &str) -> String {
    let mut text = format!(
        ".license \"GPL\"\n.map values kind=array key=4 value={size} max_entries=1\n.section \"socket\"\nmain:\n\
         *(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4\nr1 = map values ll\ncall bpf_map_lookup_elem\n\
         if r0 == 0 goto out\nr9 = r0\n{start}"
    );
    for i in 0..n {
        let _ = write!(
            text,
            "call bpf_get_prandom_u32\nif r0 == 7 goto rung{i}\n{}rung{i}:\n",
            rung(i)
        );
    }
    text + end + "out:\nr0 = 0\nexit\n"
}

fn report(text: &str, joins: bool, store_often: bool) -> ProgramReport {
    let platform = Arc::new(Platform::linux(NEWEST, None));
    let helper = |name: &str| platform.helper_by_name(name).map(|h| h.id);
    let object = probity_objfile::assemble("ladder", text, &helper).expect("it assembles");
    let options = Options {
        joins,
        store_often,
        ..Options::default()
    };
    let report = verify(&object, &platform, &Policy::default(), &options).expect("a report");
    report.programs.into_iter().next().expect("a program")
}

fn verdict(text: &str, joins: bool, store_often: bool) -> String {
    match report(text, joins, store_often).verdict {
        Verdict::Accept(_) => String::from("accept"),
        Verdict::Reject(r) => r.to_string(),
    }
}

const READ: &str = "r9 += r6\nr0 = *(u8 *)(r9 + 0)\n";

#[test]
fn a_sum_that_is_masked_costs_what_the_ladder_is_long() {
    let processed = |n| {
        let rung = |i| format!("r6 += {}\n", i % 5 + 1);
        let end = format!("r6 &= 255\n{READ}");
        let p = report(&ladder(256, "r6 = 0\n", n, rung, &end), true, false);
        assert!(matches!(p.verdict, Verdict::Accept(_)), "{n} rungs");
        p.stats.processed
    };
    let (short, long) = (processed(50), processed(500));
    assert!(long < 20 * short, "{short} for 50 rungs, {long} for 500");
}

#[test]
fn a_join_that_loses_how_values_are_related_is_taken_back() {
    for store_often in [false, true] {
        let rung = |_| String::from("r6 += 1\nr7 -= 1\n");
        let end = "r9 += r6\nr9 += r7\nr0 = *(u8 *)(r9 + 0)\n";
        let text = ladder(8, "r6 = 0\nr7 = 7\n", 12, rung, end);
        for joins in [true, false] {
            assert_eq!(verdict(&text, joins, store_often), "accept");
        }
    }
}

#[test]
fn a_join_is_no_larger_than_the_value_allows() {
    for size in [12, 13, 64] {
        let text = ladder(size, "r6 = 0\n", 12, |_| String::from("r6 += 1\n"), READ);
        let fits = size > 12;
        for (joins, store_often) in [(true, false), (true, true), (false, false)] {
            let got = verdict(&text, joins, store_often);
            assert_eq!(got == "accept", fits, "{size} bytes, joins {joins}: {got}");
        }
    }
}

#[test]
fn the_message_is_that_of_the_path() {
    for bad in 0..16 {
        let rung = |i| match i == bad {
            true => String::from("r6 = 64\n"),
            false => format!("r6 |= {}\n", 1 << (i % 4)),
        };
        let text = ladder(64, "r6 = 0\n", 16, rung, READ);
        let [with, without] = [true, false].map(|joins| verdict(&text, joins, false));
        assert!(with.contains("out_of_bounds"), "rung {bad}: {with}");
        assert_eq!(with, without, "rung {bad}");
    }
}

#[test]
fn what_one_path_did_not_initialise_nothing_reads_behind_the_join() {
    // The slot is written on the first rung only: read as a number where that is allowed, else refused.
    let rung = |i| match i {
        0 => String::from("*(u64 *)(r10 - 16) = 5\n"),
        _ => String::from("r6 |= 1\n"),
    };
    let end = "r6 = *(u64 *)(r10 - 16)\nr9 += r6\nr0 = *(u8 *)(r9 + 0)\n";
    let text = ladder(8, "r6 = 0\n", 16, rung, end);
    for (joins, store_often) in [(true, false), (true, true), (false, false)] {
        assert!(verdict(&text, joins, store_often).contains("out_of_bounds"));
    }
}

/// Headers of two lengths, each checked against the packet's end before it is read; `last` bytes read at the end.
fn packet(n: u64, last: u64) -> String {
    let mut text = String::from(
        ".license \"GPL\"\n.section \"xdp\"\nmain:\nr6 = *(u32 *)(r1 + 0)\nr7 = *(u32 *)(r1 + 4)\n",
    );
    for i in 0..n {
        let _ = write!(
            text,
            "r2 = r6\nr2 += 8\nif r2 > r7 goto out\nr3 = *(u8 *)(r6 + 0)\nr6 += 4\n\
             if r3 == {i} goto short{i}\nr6 += 4\nshort{i}:\n"
        );
    }
    let _ = write!(
        text,
        "r2 = r6\nr2 += 8\nif r2 > r7 goto out\nr3 = *(u8 *)(r6 + {})\nout:\nr0 = 2\nexit\n",
        last - 1
    );
    text
}

#[test]
fn packet_positions_are_joined_and_what_was_checked_is_kept() {
    for (joins, store_often) in [(true, false), (true, true), (false, false)] {
        assert_eq!(verdict(&packet(8, 8), joins, store_often), "accept");
        let got = verdict(&packet(8, 9), joins, store_often);
        assert!(got.contains("out_of_bounds"), "{got}");
    }
    let processed = |n| report(&packet(n, 8), true, false).stats.processed;
    let (short, long) = (processed(20), processed(100));
    // Each position is joined anew for every one before it: the square, not a power of two.
    assert!(long < 25 * short, "{short} for 20 headers, {long} for 100");
}

/// Reads four bytes behind a byte of the packet under a mask, once these were found to be there.
fn aligned(mask: u64, strict_alignment: bool) -> String {
    let text = format!(
        ".license \"GPL\"\n.section \"xdp\"\nmain:\nr6 = *(u32 *)(r1 + 0)\nr7 = *(u32 *)(r1 + 4)\n\
         r2 = r6\nr2 += 1\nif r2 > r7 goto out\nr3 = *(u8 *)(r6 + 0)\nr3 &= {mask}\nr6 += r3\n\
         r2 = r6\nr2 += 4\nif r2 > r7 goto out\nr0 = *(u32 *)(r6 + 0)\nout:\nr0 = 2\nexit\n"
    );
    let options = Options {
        strict_alignment,
        ..Options::default()
    };
    let platform = Arc::new(Platform::linux(NEWEST, None));
    let object = probity_objfile::assemble("aligned", &text, &|_| None).expect("it assembles");
    let report = verify(&object, &platform, &Policy::default(), &options).expect("a report");
    match &report.programs[0].verdict {
        Verdict::Accept(_) => String::from("accept"),
        Verdict::Reject(r) => r.rule.name().to_string(),
    }
}

#[test]
fn a_place_in_the_packet_is_as_aligned_as_what_was_added() {
    assert_eq!(aligned(7, false), "accept");
    assert_eq!(aligned(4, true), "accept");
    assert_eq!(aligned(7, true), "misaligned");
}
