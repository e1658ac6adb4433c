//! `probity verify`: verdicts, their JSON, exit statuses, policies.

use std::path::PathBuf;

use serde_json::Value;

use crate::{Scratch, probity, programs};

const KEYS: [&str; 12] = [
    "object",
    "program",
    "section",
    "prog_type",
    "verdict",
    "insns",
    "processed",
    "states",
    "peak_states",
    "stack_depth",
    "worst_case_insns",
    "time_us",
];

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}

/// Objects that need no kernel types.
fn accepted() -> Vec<PathBuf> {
    [
        "xdp-firewall/xdp-firewall.o",
        "port-counter/port-counter.o",
        "tc-meter/tc-meter.o",
        "xdp-fragments/xdp-fragments.s",
    ]
    .map(programs)
    .to_vec()
}

fn broken() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(programs("unsafe"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|x| x == "o" || x == "s"))
        .collect();
    all.sort();
    all
}

#[test]
fn json_has_its_keys_and_no_others() {
    for path in accepted() {
        let done = probity!["verify", "--json", &path].run().ok();
        assert!(done.stderr.is_empty(), "{done}");
        for row in done.json_lines() {
            assert_eq!(keys(&row), KEYS);
            assert_eq!(row["object"], path.to_str().unwrap());
            assert_eq!(row["verdict"], "accept");
            for number in &KEYS[5..] {
                assert!(row[number].is_u64(), "{number}: {row}");
            }
            assert!(row["insns"].as_u64() > Some(0) && row["processed"].as_u64() > Some(0));
        }
    }
}

/// Each file of `programs/unsafe` in one run: a line each, every one with its rule.
#[test]
fn rejections_say_where_and_why() {
    let files = broken();
    assert!(files.len() >= 30, "{} unsafe programs", files.len());
    let args = ["verify", "--json"]
        .map(std::ffi::OsString::from)
        .into_iter()
        .chain(files.iter().map(std::ffi::OsString::from));
    let done = crate::process::command(args).run();
    assert_eq!(done.code, 1, "{done}");
    let rows = done.json_lines();
    for file in &files {
        let row = rows
            .iter()
            .find(|r| r["object"] == file.to_str().unwrap() && r["verdict"] != "accept")
            .unwrap_or_else(|| panic!("nothing about {} in {done}", file.display()));
        assert_eq!(keys(row), [&KEYS[..], &["error"]].concat());
        assert_eq!(keys(&row["error"]), ["insn", "source", "kind", "message"]);
        assert_eq!(row["verdict"], "reject", "{row}");
        assert!(!row["error"]["kind"].as_str().unwrap().is_empty(), "{row}");
        assert!(
            !row["error"]["message"].as_str().unwrap().is_empty(),
            "{row}"
        );
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let source = row["error"]["source"].as_str().unwrap_or_default();
        assert!(source.contains(stem), "no place in the source: {row}");
    }
}

#[test]
fn a_rejection_for_people() {
    let path = programs("unsafe/packet-no-check.o");
    let done = probity!["verify", &path].run();
    assert_eq!(done.code, 1, "{done}");
    let done = done.prints(&[
        "reject",
        "packet_no_check",
        "error[out_of_bounds]: packet_no_check: not proved: ",
        "packet-no-check.bpf.c:10",
        "return eth->proto",
        "instruction",
    ]);
    let quiet = probity!["verify", "--quiet", &path].run();
    assert_eq!(
        (quiet.code, quiet.stdout.lines().count()),
        (1, 1),
        "{quiet}"
    );
    assert!(done.stdout.starts_with("reject"), "{done}");
    probity!["verify", "--quiet", "--json", &path]
        .run()
        .misused(&["--quiet"]);
}

/// One bad file does not keep the others from being looked at.
#[test]
fn several_objects_one_of_them_bad() {
    let scratch = Scratch::new();
    let bad = scratch.file("bad.o", b"\x7fELF and nothing more");
    let (first, last) = (
        programs("tc-meter/tc-meter.o"),
        programs("port-counter/port-counter.o"),
    );
    let done = probity!["verify", "--json", &first, &bad, &last]
        .run()
        .fails(&["bad.o"]);
    let rows = done.json_lines();
    let verdicts: Vec<&str> = rows
        .iter()
        .map(|r| r["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(verdicts, ["accept", "accept"], "{done}");
    let rejected = programs("unsafe/recursion.o");
    assert_eq!(probity!["verify", "-q", &first, &rejected].run().code, 1);
    probity!["verify", "-q", &first, &last].run().ok();
}

/// Objects below it, in order, and nothing else of it.
#[test]
fn a_directory() {
    let scratch = Scratch::new();
    scratch.file("notes.txt", b"not for it");
    let empty = scratch.path("");
    probity!["verify", &empty]
        .run()
        .fails(&["holds no BPF object"]);
    let done = probity![
        "verify",
        "-q",
        &programs("tc-meter"),
        &programs("port-counter")
    ]
    .run();
    let objects: Vec<&str> = done
        .stdout
        .lines()
        .filter_map(|l| l.split_whitespace().nth(1)?.rsplit('/').next())
        .collect();
    assert_eq!(objects.first(), Some(&"tc-meter.o"), "{done}");
    assert_eq!(objects.last(), Some(&"port-counter.o"), "{done}");
    done.ok();
}

#[test]
fn the_same_on_every_run() {
    let report = || {
        let rows = probity![
            "verify",
            "--json",
            &programs("xdp-firewall/xdp-firewall.o"),
            &programs("unsafe/size-not-bounded.o")
        ]
        .run()
        .json_lines();
        rows.into_iter()
            .map(|mut r| {
                r["time_us"] = 0.into();
                r
            })
            .collect::<Vec<_>>()
    };
    let first = report();
    assert_eq!(first.len(), 2);
    for _ in 0..3 {
        assert_eq!(report(), first);
    }
}

/// Objects, good, bad and missing ones, in the order given; only times may differ.
#[test]
fn the_same_on_any_number_of_cores() {
    let mut files = broken();
    files.splice(5..5, accepted());
    files.insert(9, programs("there-is-none.o"));
    let report = |jobs: &str, json: bool| {
        let mut args: Vec<std::ffi::OsString> = vec!["verify".into(), "--jobs".into(), jobs.into()];
        args.extend(json.then(|| "--json".into()));
        args.extend(files.iter().map(std::ffi::OsString::from));
        let done = crate::process::command(args).run();
        assert_eq!(done.code, 1, "{done}");
        assert_eq!(done.stderr.matches("there-is-none").count(), 1, "{done}");
        // `"time_us":12`, `0.01 ms`
        let mut text = String::new();
        for line in done.stdout.lines() {
            let words = line.split_inclusive([' ', ',']).filter(|word| {
                let number = word.trim_end().parse::<f64>().is_ok();
                !number && !word.starts_with("\"time_us\":")
            });
            text.extend(words);
            text.push('\n');
        }
        text
    };
    for json in [false, true] {
        let one = report("1", json);
        assert!(one.lines().count() > 30);
        for jobs in ["2", "8", "100"] {
            assert_eq!(report(jobs, json), one, "{jobs} jobs");
        }
    }
    let none = probity!["verify", "--jobs", "0", &accepted()[0]].run();
    assert_eq!(none.code, 2, "{none}");
}

#[test]
fn policies_narrow() {
    let scratch = Scratch::new();
    let object = programs("port-counter/port-counter.o");
    let verdict = |text: &str| {
        let policy = scratch.file("policy.toml", text);
        let done = probity!["verify", "--json", "--policy", &policy, &object].run();
        let row = done.json_lines().remove(0);
        assert_eq!(done.code == 0, row["verdict"] == "accept", "{done}");
        row
    };
    assert_eq!(verdict("")["verdict"], "accept");
    let generous = "helpers = ['skb_load_bytes', 'map_lookup_elem', 'map_update_elem']\n\
                    map_kinds = ['percpu_hash']\nprog_kinds = ['socket_filter']\nmax_insns = 1000\n";
    assert_eq!(verdict(generous)["verdict"], "accept");
    for (policy, word) in [
        ("helpers = ['map_lookup_elem']", "skb_load_bytes"),
        ("map_kinds = ['array']", "percpu_hash"),
        ("prog_kinds = ['xdp']", "socket_filter"),
        ("max_insns = 3", "3"),
        ("max_map_entries = 10", "65536"),
        ("max_stack = 8", "8"),
        ("max_worst_case_insns = 5", "it may execute"),
        ("licenses = ['Proprietary']", "icen"),
    ] {
        let row = verdict(policy);
        assert_eq!(row["verdict"], "reject", "{policy}: {row}");
        let message = row["error"]["message"].as_str().unwrap();
        assert!(message.contains(word), "{policy}: {message}");
    }
}

#[test]
fn prog_type_overrides_the_section() {
    let scratch = Scratch::new();
    let text = ".section \"socket\"\n.globl p\np:\n\tr0 = *(u32 *)(r1 + 0)\n\texit\n";
    let file = scratch.file("p.s", text);
    for (given, kind, verdict) in [
        ("socket_filter", "socket_filter", "accept"),
        ("kprobe", "kprobe", "accept"),
        ("tc", "sched_cls", "accept"),
    ] {
        let done = probity!["verify", "--json", "--prog-type", given, &file].run();
        let row = done.json_lines().remove(0);
        assert_eq!(
            (row["verdict"].as_str(), row["prog_type"].as_str()),
            (Some(verdict), Some(kind)),
            "{done}"
        );
    }
    // What egress programs return is 0 to 3; a packet's length is more.
    let done = probity!["verify", "--json", "--prog-type", "cgroup_skb", &file].run();
    let row = done.json_lines().remove(0);
    assert_eq!(row["error"]["kind"], "return_value", "{done}");
}

#[test]
fn one_program_of_several() {
    let object = programs("open-latency/open-latency.o");
    let all = probity!["dump", "--stage", "object", &object].run().ok();
    let names: Vec<&str> = all
        .stdout
        .lines()
        .filter_map(|l| l.strip_prefix("program ")?.split_whitespace().next())
        .collect();
    assert!(names.len() >= 2, "{all}");
    let done = probity!["verify", "--json", "--program", names[1], &object].run();
    let rows = done.json_lines();
    assert_eq!(rows.len(), 1, "{done}");
    assert_eq!(rows[0]["program"], names[1]);
    probity!["verify", "--program", "nonsense", &object]
        .run()
        .fails(&["nonsense", names[0], names[1]]);
}
