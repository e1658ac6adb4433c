//! Assembly to objects and back, and what the stages show.

use crate::{Scratch, probity, programs};

/// What `dis` prints, as instructions only.
fn instructions(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|l| {
            let (pc, insn) = l.trim_start().split_once(": ")?;
            pc.parse::<u32>().ok()?;
            Some(insn.trim().to_string())
        })
        .collect()
}

#[test]
fn assembled_and_disassembled() {
    let scratch = Scratch::new();
    let source = programs("xdp-fragments/xdp-fragments.s");
    let object = scratch.path("xdp-fragments.o");
    probity!["asm", &source, "-o", &object]
        .run()
        .ok()
        .says(&["xdp_fragments", "bytes"]);
    let from_text = probity!["dis", &source].run().ok();
    let from_object = probity!["dis", &object].run().ok();
    let insns = instructions(&from_object.stdout);
    assert!(insns.len() == 24, "{from_object}");
    assert_eq!(instructions(&from_text.stdout), insns);
    from_object.prints(&["xdp_fragments", "xdp", "call", "exit"]);

    // The object is as good as the text: verified with the same result.
    for file in [&source, &object] {
        let row = probity!["verify", "--json", file]
            .run()
            .ok()
            .json_lines()
            .remove(0);
        assert_eq!(row["verdict"], "accept");
        assert_eq!(row["prog_type"], "xdp");
    }
    // And assembling is deterministic.
    let again = scratch.path("again.o");
    probity!["asm", &source, "-o", &again].run().ok();
    assert_eq!(
        std::fs::read(object).unwrap(),
        std::fs::read(again).unwrap()
    );
}

#[test]
fn assembly_from_standard_input() {
    let scratch = Scratch::new();
    let text = ".section \"socket\"\nzero:\n\tr0 = 0\n\texit\n";
    let object = scratch.path("zero.o");
    probity!["asm", "-", "-o", &object].stdin(text).run().ok();
    probity!["verify", &object].run().ok().prints(&["accept"]);
    probity!["asm", "-"].stdin(text).run().fails(&["-o FILE"]);
}

#[test]
fn source_lines_can_be_left_out() {
    let object = programs("exec-snoop/exec-snoop.o");
    let with = probity!["dis", &object].run().ok();
    let without = probity!["dis", &object, "--no-source"].run().ok();
    assert!(with.stdout.contains("exec-snoop.bpf.c"), "{with}");
    assert!(!without.stdout.contains("exec-snoop.bpf.c"), "{without}");
    assert_eq!(instructions(&with.stdout), instructions(&without.stdout));
}

#[test]
fn every_stage_can_be_seen() {
    let object = programs("port-counter/port-counter.o");
    let script = programs("scripts/off-cpu.bt");
    for (stage, file, words) in [
        (
            "ast",
            &script,
            &["tracepoint:sched:sched_switch", "@left"][..],
        ),
        (
            "object",
            &object,
            &["program port_counter", "map 0", "percpu_hash", "license"],
        ),
        ("relocated", &object, &["port_counter", "exit"]),
        ("states", &object, &["port_counter", "r1"]),
        ("facts", &object, &["port_counter", "exit"]),
        ("clif", &object, &["function", "return"]),
    ] {
        probity!["dump", "--stage", stage, file]
            .run()
            .ok()
            .prints(words);
    }
}

#[test]
fn stages_of_what_is_rejected() {
    let object = programs("unsafe/packet-no-check.o");
    let stage = |name: &str| probity!["dump", "--stage", name, &object].run();
    stage("object").ok().prints(&["program packet_no_check"]);
    // States lead up to the rejection; facts there are none.
    assert_eq!(stage("states").prints(&["r1"]).code, 1);
    assert_eq!(stage("facts").prints(&["not accepted"]).code, 1);
    stage("clif").fails(&["not accepted"]);
}
