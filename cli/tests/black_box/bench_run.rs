//! `probity bench run`: figures a program and engine, and no figures for wrong answers.

use serde_json::Value;

use crate::{Scratch, probity, programs};

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|d| d.join(program).is_file());
    if !found {
        println!("skipped: no {program}");
    }
    found
}

#[test]
fn json_has_a_line_for_each_program_and_engine() {
    let done = probity![
        "bench",
        "run",
        "--engine",
        "interp,jit",
        "--filter",
        "prime,array_64,hash4_64,tail_32,ringbuf_64",
        "--runs",
        "2",
        "--batch",
        "0.1",
        "--json"
    ]
    .run()
    .ok();
    let lines = done.json_lines();
    let find = |program: &str, engine: &str| {
        let found = lines
            .iter()
            .find(|l| l["program"] == program && l["engine"] == engine);
        found.unwrap_or_else(|| panic!("no {program} on {engine}"))
    };
    // Two threads are the compiler's alone, in two measures.
    assert_eq!(lines.len(), 5 * 2 + 2);
    for line in &lines {
        let Value::Object(keys) = line else {
            panic!("no object");
        };
        let keys: Vec<&str> = keys.keys().map(String::as_str).collect();
        let promised = [
            "program",
            "engine",
            "ns",
            "compile_us",
            "ratio_native",
            "ratio_scalar",
        ];
        assert_eq!(keys[..6], promised);
        assert!(line["ns"].as_f64().is_some_and(|ns| ns > 0.0), "{line}");
        assert_eq!(line["ratio_scalar"], Value::Null);
    }
    let ns = |engine| find("prime", engine)["ns"].as_f64().expect("nanoseconds");
    assert!(ns("interp") > 2.0 * ns("jit"));
    assert_eq!(find("array_64", "jit")["operations"], 64);
    if std::thread::available_parallelism().is_ok_and(|n| n.get() > 1) {
        assert!(find("ringbuf_2_threads", "jit")["ns"].as_f64() > Some(64.0));
    }
    let cached = find("prime", "jit")["cached_us"].as_f64();
    assert!(cached < find("prime", "jit")["compile_us"].as_f64());
}

#[test]
fn native_code_is_built_from_the_source_and_ratios_are_over_it() {
    if !is_there("clang-22") {
        return;
    }
    let scratch = Scratch::new();
    let (plot, report) = (scratch.path("run.svg"), scratch.path("run.md"));
    let command = probity![
        "bench",
        "run",
        "--engine",
        "native,scalar,jit",
        "--filter",
        "prime,simple",
        "--runs",
        "3",
        "--json",
        "--plot",
        &plot,
        "--report",
        &report
    ];
    let lines = command.run().ok().json_lines();
    assert_eq!(lines.len(), 6);
    for line in &lines {
        let ratio = line["ratio_native"].as_f64().expect("a ratio");
        assert!(
            ratio > 0.0 && (line["engine"] != "native" || ratio == 1.0),
            "{line}"
        );
    }
    let drawing = std::fs::read_to_string(plot).expect("a drawing");
    assert!(drawing.contains("prime, jit: "));
    let report = std::fs::read_to_string(report).expect("a report");
    assert!(report.contains("| jit over scalar native, geometric mean | at most 1.2× |"));
}

#[test]
fn a_wrong_answer_is_not_measured() {
    if !is_there("clang-22") {
        return;
    }
    let scratch = Scratch::new();
    let bytes = std::fs::read(programs("bench/prime.o")).expect("an object");
    let object = scratch.file("prime.o", bytes);
    scratch.file("prime.in", 65521u64.to_ne_bytes().repeat(8));
    scratch.file(
        "prime.bpf.c",
        "#include \"bench.h\"\nBENCH(prime, 8) { return 7; }\n",
    );
    let done = probity!["bench", "run", "--engine", "native,jit", "--json", &object].run();
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("jit: prime: it gives 0x1, not 0x7"));
    let lines = done.json_lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["engine"], "native");
    // The right source, and it is.
    let source = std::fs::read(programs("bench/prime.bpf.c")).expect("a source");
    scratch.file("prime.bpf.c", source);
    let done = probity!["bench", "run", "--engine", "native,jit", "--json", &object].run();
    assert_eq!(done.ok().json_lines().len(), 2);
}

#[test]
fn what_cannot_be_asked_for_is_wrong_usage() {
    for arguments in [
        ["--engine", "turbo"],
        ["--filter", "time>3"],
        ["--batch", "0"],
    ] {
        let done = probity!["bench", "run", arguments[0], arguments[1]].run();
        assert_eq!(done.code, 2, "{arguments:?}: {}", done.stderr);
    }
}
