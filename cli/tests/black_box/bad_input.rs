//! Input that is wrong in every way we could think of: a clear message, status 1, soon.
//!
//! Random damage takes its seed from `TEST_SEED`, and says it.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::run::{pcap, udp};
use crate::{Done, Scratch, probity, programs};

/// Every subcommand that opens an object, on this file.
fn each_opener(file: &Path) -> Vec<Done> {
    let mut done = each_opener_of_one(file);
    done.push(probity!["verify", file].run());
    done
}

/// Those that open one object; `verify` takes directories of them as well.
fn each_opener_of_one(file: &Path) -> Vec<Done> {
    vec![
        probity!["run", file].run(),
        probity!["dis", file].run(),
        probity!["dump", "--stage", "object", file].run(),
    ]
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn new() -> Random {
        let seed = std::env::var("TEST_SEED")
            .ok()
            .and_then(|s| s.parse().ok())
            .unwrap_or(0x0b5e_55ed);
        println!("TEST_SEED={seed}");
        Random(seed)
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.draw() % n.max(1) as u64) as usize
    }

    /// A few bytes changed, half of the time to values that numbers overflow at.
    fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(8) {
            let at = self.below(bytes.len());
            bytes[at] = match self.below(4) {
                0 => 0xff,
                1 => 0x7f,
                2 => 0,
                _ => self.draw() as u8,
            };
        }
        bytes
    }
}

#[test]
fn files_that_are_no_objects() {
    let scratch = Scratch::new();
    let zeros = scratch.path("zeros.o");
    File::create(&zeros).unwrap().set_len(64 << 20).unwrap();
    let name = |p: &Path| p.file_name().unwrap().to_str().unwrap().to_string();
    for (file, word) in [
        (
            scratch.file("text.o", "int main(void) { return 0; }\n"),
            "ELF",
        ),
        (scratch.file("empty.o", ""), "ELF"),
        (zeros, "ELF"),
        (scratch.file("magic.o", b"\x7fELF"), "ELF"),
        // A program of this machine: right format, wrong machine.
        (PathBuf::from(env!("CARGO_BIN_EXE_probity")), "machine"),
        (scratch.path("missing.o"), "No such file"),
        (PathBuf::from("/dev/zero"), "larger than"),
        (PathBuf::from("/dev/null"), "ELF"),
    ] {
        for done in each_opener(&file) {
            let done = done.fails(&["error: ", &name(&file), word]);
            assert!(done.stdout.is_empty(), "{done}");
            assert!(done.stderr.lines().count() <= 4, "{done}");
        }
    }
}

#[test]
fn a_directory_where_one_object_is_meant() {
    for done in each_opener_of_one(&programs("tc-meter")) {
        let done = done.fails(&["error: ", "tc-meter", "directory"]);
        assert!(done.stdout.is_empty(), "{done}");
        assert!(done.stderr.lines().count() <= 4, "{done}");
    }
}

#[test]
fn an_object_without_programs() {
    let scratch = Scratch::new();
    let source = scratch.file("none.s", "// Nothing.\n.license \"GPL\"\n");
    let object = scratch.path("none.o");
    let assembled = probity!["asm", &source, "-o", &object].run();
    let mut files = vec![source];
    if assembled.code == 0 {
        files.push(object);
    }
    for file in files {
        probity!["verify", &file].run().fails(&["no program"]);
        probity!["run", &file].run().fails(&["no program"]);
        probity!["dis", &file].run().fails(&["no program"]);
    }
}

#[test]
fn truncated_objects() {
    let scratch = Scratch::new();
    let types = programs("exec-snoop/exec-snoop.o");
    for whole in ["exec-snoop/exec-snoop.o", "tc-meter/tc-meter.o"] {
        let bytes = std::fs::read(programs(whole)).unwrap();
        let lengths = (0..64)
            .step_by(7)
            .chain((64..bytes.len()).step_by(bytes.len() / 24));
        for length in lengths.chain([bytes.len() - 1]) {
            let file = scratch.file("cut.o", &bytes[..length]);
            probity!["verify", "--btf", &types, &file]
                .run()
                .fails(&["cut.o"]);
        }
    }
}

/// Damage may leave an object as good as it was; it may never do worse than make it refused.
#[test]
fn damaged_objects() {
    let scratch = Scratch::new();
    let mut random = Random::new();
    let types = programs("exec-snoop/exec-snoop.o");
    let originals = [
        "exec-snoop/exec-snoop.o",
        "cpu-profile/cpu-profile.o",
        "tc-meter/tc-meter.o",
    ]
    .map(|p| std::fs::read(programs(p)).unwrap());
    let mut refused = 0;
    for n in 0..60 {
        let file = scratch.file("damaged.o", random.damage(&originals[n % 3]));
        let done = probity!["verify", "--btf", &types, &file].run();
        assert!(done.code <= 1, "{done}");
        refused += done.code;
        let done = probity!["dis", &file].run();
        assert!(done.code <= 1, "{done}");
    }
    assert!(refused > 0, "no damage did any");
}

#[test]
fn malformed_types() {
    let scratch = Scratch::new();
    let mut random = Random::new();
    let object = programs("tc-meter/tc-meter.o");
    let long = [&[0x9f, 0xeb, 1, 0, 24, 0, 0, 0][..], &[0xff; 16]].concat();
    for bytes in [
        &b""[..],
        b"BTF",
        &[0x9f, 0xeb],
        &[0; 24],
        &[0xff; 64],
        &long,
    ] {
        let file = scratch.file("bad.btf", bytes);
        probity!["btf", "dump", &file].run().fails(&["bad.btf"]);
        probity!["btf", "header", &file].run().fails(&["bad.btf"]);
        probity!["btf", "show", "x", "--btf", &file]
            .run()
            .fails(&["bad.btf"]);
        probity!["verify", "--btf", &file, &object]
            .run()
            .fails(&["bad.btf"]);
    }
    // An ELF file without types.
    probity!["btf", "dump", env!("CARGO_BIN_EXE_probity")]
        .run()
        .fails(&[".BTF"]);
    probity!["btf", "dump", &scratch.path("missing")]
        .run()
        .fails(&["missing"]);
    probity!["btf", "dump", "/dev/zero"]
        .run()
        .fails(&["/dev/zero"]);
    let good = std::fs::read(programs("exec-snoop/exec-snoop.o")).unwrap();
    for _ in 0..25 {
        let file = scratch.file("damaged.o", random.damage(&good));
        for command in ["dump", "header"] {
            let done = probity!["btf", command, &file].run();
            assert!(done.code <= 1, "{done}");
        }
    }
}

#[test]
fn assembly_with_errors() {
    let scratch = Scratch::new();
    for (text, place, words) in [
        (
            ".section \"xdp\"\np:\n\tr0 = frog\n\texit\n",
            ":3:",
            &["frog"][..],
        ),
        (".section \"xdp\"\np:\n\tr11 = 0\n\texit\n", ":3:", &["r11"]),
        (
            ".section \"xdp\"\np:\n\tif r0 == 0 goto nowhere\n\texit\n",
            ":3:",
            &["nowhere"],
        ),
        (
            ".section \"xdp\"\np:\n\tcall bpf_no_such_helper\n\texit\n",
            ":3:",
            &["bpf_no_such_helper"],
        ),
        (
            ".section \"xdp\"\np:\n\tr1 = map absent ll\n\texit\n",
            ":3:",
            &["absent"],
        ),
        (
            ".section \"xdp\"\np:\n\tr0 = 99999999999999999999\n\texit\n",
            ":3:",
            &["99999999999999999999"],
        ),
        (".frobnicate 3\n", ":1:", &[".frobnicate"]),
        (
            ".map m kind=frog key=4 value=4 max_entries=1\n",
            ":1:",
            &["frog"],
        ),
        (".section \"xdp\n", ":1:", &[]),
        ("p:\n\u{1F980} = 1\n", ":2:", &["\u{1F980}"]),
    ] {
        let file = scratch.file("wrong.s", text);
        let place = format!("wrong.s{place}");
        for done in [
            probity!["asm", &file, "-o", &scratch.path("never.o")].run(),
            probity!["verify", &file].run(),
        ] {
            let done = done.fails(&[&place]).says(words);
            // file:line:column.
            let after = done.stderr.split(&place).nth(1).unwrap();
            let column: String = after.chars().take_while(char::is_ascii_digit).collect();
            assert!(
                column.parse::<u32>().is_ok_and(|c| c > 0),
                "no column in {done}"
            );
        }
        assert!(!scratch.path("never.o").exists(), "an object of wrong text");
    }
    let file = scratch.file("binary.s", [0xff, 0xfe, 0, 1]);
    probity!["verify", &file]
        .run()
        .fails(&["binary.s", "not text"]);
    probity!["asm", &file]
        .run()
        .fails(&["binary.s", "not text"]);
    let deep = scratch.file(
        "deep.s",
        format!(".section \"xdp\"\np:\n\tr0 = {}\n", "(".repeat(1 << 20)),
    );
    probity!["asm", &deep].run().fails(&["deep.s:3:"]);
}

#[test]
fn names_that_are_not_there() {
    let object = programs("tc-meter/tc-meter.o");
    for done in [
        probity!["verify", "--program", "tc_metre", &object].run(),
        probity!["run", "--program", "tc_metre", &object].run(),
        probity!["dis", "--program", "tc_metre", &object].run(),
        probity!["dump", "--stage", "facts", "--program", "tc_metre", &object].run(),
        probity!["attach", "--program", "tc_metre", &object].run(),
    ] {
        done.fails(&["tc_metre", "tc_meter"]);
    }
    for done in [
        probity!["verify", "--prog-type", "xpd", &object].run(),
        probity!["run", "--prog-type", "xpd", &object].run(),
    ] {
        done.fails(&["xpd", "xdp", "sched_cls"]);
    }
}

#[test]
fn bad_settings() {
    let object = programs("tc-meter/tc-meter.o");
    let huge = "byte_budget=99999999999999999999";
    for setting in ["nonsense=1", "byte_budget=x", "byte_budget", huge, "=1"] {
        probity!["run", &object, "--set", setting]
            .run()
            .fails(&["error"]);
    }
    probity!["run", &object, "--set", "byte_budgt=1"]
        .run()
        .fails(&["byte_budgt", "byte_budget"]);
}

#[test]
fn bad_policies() {
    let scratch = Scratch::new();
    let object = programs("tc-meter/tc-meter.o");
    for (text, words) in [
        ("helpers = [\n", &["policy.toml", "line "][..]),
        (
            "\nhelpers = ['map_lokup_elem']",
            &["line 2", "map_lokup_elem", "map_lookup_elem"],
        ),
        ("max_insn = 3", &["line 1", "max_insn", "max_insns"]),
        (
            "max_insns = 'many'",
            &["line 1", "max_insns", "whole number"],
        ),
        ("max_stack = -1", &["line 1", "-1"]),
        ("map_kinds = ['hsah']", &["hsah", "hash"]),
    ] {
        let policy = scratch.file("policy.toml", text);
        probity!["verify", "--policy", &policy, &object]
            .run()
            .fails(words);
    }
    let binary = scratch.file("policy.toml", [0xff, 0xfe]);
    probity!["verify", "--policy", &binary, &object]
        .run()
        .fails(&["policy.toml", "not text"]);
    probity!["verify", "--policy", &scratch.path("missing.toml"), &object]
        .run()
        .fails(&["missing.toml"]);
}

/// The largest map that can be written down: sizes multiply without overflow.
#[test]
fn a_map_beyond_all_bounds() {
    let scratch = Scratch::new();
    let file = scratch.file(
        "large.s",
        ".map m kind=hash key=4294967295 value=4294967295 max_entries=4294967295\n\
         .section \"socket\"\np:\n\tr1 = map m ll\n\tr0 = 0\n\texit\n",
    );
    let policy = scratch.file("policy.toml", "max_map_bytes = 1048576\n");
    let done = probity!["verify", "--policy", &policy, &file].run();
    assert_eq!(done.code, 1, "{done}");
    let done = probity!["verify", &file].run();
    assert!(done.code <= 1, "{done}");
    let done = probity!["run", &file].run();
    assert_eq!(done.code, 1, "{done}");
}

#[test]
fn bad_contexts_and_packets() {
    let scratch = Scratch::new();
    let object = programs("xdp-fragments/xdp-fragments.s");
    let missing = format!("@{}", scratch.path("missing").display());
    for option in ["--ctx", "--packet"] {
        let run = |value: &str| probity!["run", option, value, &object].run();
        run("0g").fails(&[option, "`g`"]);
        run("abc").fails(&[option, "odd number"]);
        run("caf\u{e9}").fails(&[option, "\u{e9}"]);
        run(&missing).fails(&["missing"]);
    }
    probity!["run", "--packet", "@/dev/zero", &object]
        .run()
        .fails(&["/dev/zero"]);
    // Larger than the context.
    let large = scratch.file("large", vec![0; 1 << 20]);
    let large = format!("@{}", large.display());
    probity!["run", "--ctx", &large, &object]
        .run()
        .fails(&["context"]);
    // A program that sees no packets.
    let counter = programs("syscall-count/syscall-count.o");
    probity!["run", "--packet", "00", &counter]
        .run()
        .fails(&["no packets"]);
}

#[test]
fn malformed_captures() {
    let scratch = Scratch::new();
    let mut random = Random::new();
    let object = programs("port-counter/port-counter.o");
    let good = pcap(&[udp(53, 0), udp(80, 0), udp(443, 0)]);
    let run = |file: &Path| probity!["run", "--packets", file, &object].run();
    for bytes in [
        &b""[..],
        b"not a capture at all, but text",
        &[0; 64],
        &good[..20],
        &good[..30],
        &good[..50],
    ] {
        run(&scratch.file("bad.pcap", bytes)).fails(&["bad.pcap"]);
    }
    // A packet that claims four gigabytes.
    let mut lying = good.clone();
    lying[32..36].fill(0xff);
    run(&scratch.file("lying.pcap", lying)).fails(&["lying.pcap", "packet 1"]);
    run(&scratch.path("missing.pcap")).fails(&["missing.pcap"]);
    run(Path::new("/dev/zero")).fails(&["/dev/zero"]);
    run(&programs("scripts")).fails(&["scripts"]);
    for _ in 0..25 {
        let done = run(&scratch.file("damaged.pcap", random.damage(&good)));
        assert!(done.code <= 1, "{done}");
    }
    // Where nothing can be written.
    let capture = scratch.file("good.pcap", &good);
    probity![
        "run",
        "--packets",
        &capture,
        "--write-pcap",
        "/no/such/place.pcap",
        &object
    ]
    .run()
    .fails(&["/no/such/place.pcap"]);
}

#[test]
fn scripts_with_errors() {
    let recording = programs("recordings/syscalls.perf.data");
    for (text, place, words) in [
        (
            "tracepoint:raw_syscalls:sys_enter { @[com] = count(); }",
            "1:",
            &["com", "comm"][..],
        ),
        (
            "tracepoint:raw_syscalls:sys_enter {\n  @ = count(;\n}",
            "2:",
            &["@ = count(;"],
        ),
        (
            "tracepoint:raw_syscalls:sys_enter { @ = count(); ",
            "1:",
            &[],
        ),
        (
            "tracepoint:raw_syscalls:sys_entr { @ = count(); }",
            "1:",
            &["sys_entr", "sys_enter"],
        ),
        (
            "tracepoint:raw_syscalls:sys_enter { @ = args.idd; }",
            "1:",
            &["idd", "id"],
        ),
        (
            "tracepoint:raw_syscalls:sys_enter { @ = cuont(); }",
            "1:",
            &["cuont", "count"],
        ),
        (
            "tracepoint:raw_syscalls:sys_enter { $x = 1; $x = \"text\"; }",
            "1:",
            &["$x"],
        ),
        (
            "tracepoint:raw_syscalls:sys_enter { printf(\"%d %d\\n\", 1); }",
            "1:",
            &["printf"],
        ),
        (
            "tracepont:raw_syscalls:sys_enter { @ = count(); }",
            "1:",
            &["tracepont", "tracepoint"],
        ),
        ("\u{1F980}", "1:", &["\u{1F980}"]),
        ("", "", &[]),
    ] {
        let done = probity!["trace", "--replay", &recording, "-e", text].run();
        let done = done.fails(&[place]).says(words);
        assert!(done.stdout.is_empty(), "{done}");
    }
    let deep = format!("begin {{ @ = {}1; }}", "(".repeat(100_000));
    let scratch = Scratch::new();
    let deep = scratch.file("deep.bt", deep);
    probity!["trace", "--replay", &recording, &deep]
        .run()
        .fails(&["deep.bt"]);
    probity!["dump", "--stage", "ast", &deep]
        .run()
        .fails(&["deep.bt"]);
    let binary = scratch.file("binary.bt", [0xff, 0xfe, 0, 1]);
    probity!["trace", "--replay", &recording, &binary]
        .run()
        .fails(&["binary.bt", "not text"]);
    probity!["trace", "--replay", &recording, &scratch.path("missing.bt")]
        .run()
        .fails(&["missing.bt"]);
}

#[test]
fn malformed_recordings() {
    let scratch = Scratch::new();
    let mut random = Random::new();
    let script = programs("scripts/syscalls-by-process.bt");
    let replay = |file: &Path| probity!["trace", "--replay", file, &script].run();
    let good = std::fs::read(programs("recordings/syscalls.perf.data")).unwrap();
    for bytes in [
        &b""[..],
        b"PERFILE2",
        &[0; 4096],
        &[0xff; 4096],
        &good[..104],
        &good[..good.len() / 2],
        &good[..good.len() - 1],
    ] {
        replay(&scratch.file("bad.perf.data", bytes)).fails(&["bad.perf.data"]);
    }
    replay(&scratch.path("missing.perf.data")).fails(&["missing.perf.data"]);
    replay(&programs("scripts")).fails(&["scripts"]);
    replay(Path::new("/dev/zero")).fails(&["/dev/zero"]);
    replay(&programs("tc-meter/tc-meter.o")).fails(&["tc-meter.o"]);
    for n in 0..60 {
        let mut bytes = random.damage(&good);
        if n % 2 == 0 {
            // In the header, where every byte counts.
            let header = random.damage(&good[..256]);
            bytes[..256].copy_from_slice(&header);
        }
        let done = replay(&scratch.file("damaged.perf.data", bytes));
        assert!(done.code <= 1, "{done}");
    }
}

/// As a user who may do nothing: what is wrong, and what can be done without rights.
#[test]
fn no_privilege() {
    let scratch = Scratch::new();
    let script = scratch.file("s.bt", "tracepoint:raw_syscalls:sys_enter { @ = count(); }");
    let object = scratch.path("tc-meter.o");
    std::fs::copy(programs("tc-meter/tc-meter.o"), &object).unwrap();
    probity!["trace", &script]
        .unprivileged(&scratch)
        .run()
        .fails(&["root", "CAP_BPF", "--replay", "s.bt"]);
    probity!["trace", "-l", "tracepoint:sched:*"]
        .unprivileged(&scratch)
        .run()
        .fails(&["root"]);
    probity!["attach", &object]
        .unprivileged(&scratch)
        .run()
        .fails(&["root"]);
    // Verifying, and replaying, need none.
    let recording = scratch.path("r.perf.data");
    std::fs::copy(programs("recordings/syscalls.perf.data"), &recording).unwrap();
    probity!["trace", "--replay", &recording, &script]
        .unprivileged(&scratch)
        .run()
        .ok();
    probity!["verify", &object]
        .unprivileged(&scratch)
        .run()
        .ok();
}
