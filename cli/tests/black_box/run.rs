//! `probity run`: programs in process, on contexts and on packets.

use crate::{Scratch, probity, programs};

const ENGINES: [&str; 2] = ["interp", "jit"];

/// A capture in the classic format, little-endian, Ethernet.
pub fn pcap(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65535, 1] {
        file.extend(word.to_le_bytes());
    }
    for (n, packet) in packets.iter().enumerate() {
        let length = packet.len() as u32;
        for word in [n as u32, 0, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

/// Ethernet, IPv4, UDP to `port`; `fragment` as in the IPv4 header.
pub fn udp(port: u16, fragment: u16) -> Vec<u8> {
    let mut packet = vec![2; 12];
    packet.extend([8, 0, 0x45, 0, 0, 32, 0, 1]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend(1234u16.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend([0, 12, 0, 0, 1, 2, 3, 4]);
    packet
}

#[test]
fn fragments_are_dropped_and_the_rest_written() {
    let scratch = Scratch::new();
    let packets = [
        udp(53, 0),
        udp(53, 0x2000),
        udp(53, 7),
        udp(80, 185),
        vec![0; 20],
    ];
    let capture = scratch.file("in.pcap", pcap(&packets));
    let program = programs("xdp-fragments/xdp-fragments.s");
    for engine in ENGINES {
        let out = scratch.path("out.pcap");
        let done = probity![
            "run",
            &program,
            "--packets",
            &capture,
            "--write-pcap",
            &out,
            "--engine",
            engine,
            "--json"
        ]
        .run()
        .ok();
        let row = done.json_lines().remove(0);
        assert_eq!(row["packets"], 5, "{row}");
        assert_eq!(row["written"], 3, "{row}");
        assert_eq!(row["engine"], engine);
        let verdicts = row["verdicts"].as_array().unwrap();
        let count = |name: &str| {
            let row = verdicts.iter().find(|v| v["name"] == name);
            row.map_or((0, 0), |v| {
                (v["packets"].as_u64().unwrap(), v["bytes"].as_u64().unwrap())
            })
        };
        assert_eq!(count("XDP_DROP"), (2, 92), "{row}");
        assert_eq!(count("XDP_PASS"), (3, 112), "{row}");
        assert_eq!(row["maps"]["dropped"][0]["value"], 2, "{row}");
        // The same packets, at the same times, without the fragments.
        let mut kept = pcap(&packets[..2]);
        kept.extend(&pcap(&packets)[pcap(&packets[..4]).len()..]);
        assert_eq!(std::fs::read(out).unwrap(), kept);
    }
}

#[test]
fn packets_for_people() {
    let scratch = Scratch::new();
    let capture = scratch.file("in.pcap", pcap(&[udp(53, 0), udp(53, 0), udp(80, 0)]));
    for engine in ENGINES {
        probity![
            "run",
            &programs("port-counter/port-counter.o"),
            "--packets",
            &capture,
            "--engine",
            engine
        ]
        .run()
        .ok()
        .prints(&["3 packets", "packets: 2 entries"]);
    }
}

#[test]
fn an_empty_capture() {
    let scratch = Scratch::new();
    let capture = scratch.file("in.pcap", pcap(&[]));
    probity![
        "run",
        &programs("port-counter/port-counter.o"),
        "--packets",
        &capture
    ]
    .run()
    .ok()
    .prints(&["0 packets"]);
}

#[test]
fn one_packet_given_as_hex_or_file() {
    let scratch = Scratch::new();
    let packet = udp(53, 7);
    let hex: String = packet.iter().map(|b| format!("{b:02x}")).collect();
    let file = scratch.file("packet.bin", &packet);
    let at = format!("@{}", file.display());
    for given in [hex.as_str(), &at] {
        let row = probity![
            "run",
            &programs("xdp-fragments/xdp-fragments.s"),
            "--packet",
            given,
            "--json"
        ]
        .run()
        .ok()
        .json_lines()
        .remove(0);
        assert_eq!(row["return"], 1, "{row}");
    }
}

#[test]
fn contexts_are_read_and_results_returned() {
    let scratch = Scratch::new();
    let file = scratch.file(
        "sum.s",
        ".section \"kprobe/x\"\n.globl sum\nsum:\n\tr2 = *(u64 *)(r1 + 0)\n\tr0 = *(u64 *)(r1 + 8)\n\tr0 += r2\n\texit\n",
    );
    let mut context = [0u8; 168];
    context[0] = 40;
    context[8] = 2;
    let hex: String = context.iter().map(|b| format!("{b:02x}")).collect();
    for engine in ENGINES {
        let row = probity![
            "run", &file, "--ctx", &hex, "--repeat", "1000", "--engine", engine, "--json"
        ]
        .run()
        .ok()
        .json_lines()
        .remove(0);
        assert_eq!(
            (&row["return"], &row["runs"]),
            (&42.into(), &1000.into()),
            "{row}"
        );
        assert!(row["ns_per_run"].as_f64() > Some(0.0), "{row}");
        probity!["run", &file, "--ctx", &hex, "--engine", engine]
            .run()
            .ok()
            .prints(&["return 42"]);
    }
    probity!["run", &file, "--ctx", "28"]
        .run()
        .fails(&["1 bytes", "uses"]);
}

#[test]
fn what_is_rejected_is_not_run() {
    let done = probity!["run", &programs("unsafe/packet-no-check.o")].run();
    assert_eq!(done.code, 1, "{done}");
    let done = done.prints(&["reject", "out_of_bounds", "packet-no-check.bpf.c:10"]);
    assert!(
        !done.stdout.lines().any(|l| l.starts_with("return ")),
        "{done}"
    );
}

/// A recorded conversation: UDP with fragments, a web page, a refused connection.
#[test]
fn a_recorded_capture() {
    let run = |program: &str, engine: &str| {
        probity![
            "run",
            &programs(program),
            "--packets",
            &programs("recordings/packets.pcap"),
            "--engine",
            engine,
            "--json"
        ]
        .run()
        .ok()
        .json_lines()
        .remove(0)
    };
    for engine in ENGINES {
        let fragments = run("xdp-fragments/xdp-fragments.s", engine);
        assert_eq!(fragments["maps"]["dropped"][0]["value"], 5, "{fragments}");
        // UDP and TCP to the ports there were, and to no port that a fragment's payload spells.
        let ports = run("port-counter/port-counter.o", engine);
        let rows = ports["maps"]["packets"].as_array().unwrap();
        let keys: Vec<u64> = rows.iter().filter_map(|r| r["key"].as_u64()).collect();
        assert!(
            keys.contains(&(17 << 16 | 53)) && keys.contains(&(6 << 16 | 80)),
            "{ports}"
        );
        assert_eq!(keys.len(), 6, "{ports}");
        // A cgroup program sees packets from the IP header on: TCP, UDP, ICMPv6.
        let meter = run("cgroup-meter/cgroup-meter.o", engine);
        let mut protocols: Vec<u64> = meter["maps"]["bytes_by_protocol"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|r| r["key"].as_u64())
            .collect();
        protocols.sort();
        assert_eq!(protocols, [0, 6, 17, 58], "{meter}");
    }
}

/// A packet that a program leaves alone is not shown as changed, whatever part of it it sees.
#[test]
fn an_unchanged_packet_is_not_shown() {
    let hex: String = udp(53, 0).iter().map(|b| format!("{b:02x}")).collect();
    for program in [
        "cgroup-meter/cgroup-meter.o",
        "tc-meter/tc-meter.o",
        "xdp-firewall/xdp-firewall.o",
    ] {
        let row = probity!["run", &programs(program), "--packet", &hex, "--json"]
            .run()
            .ok()
            .json_lines()
            .remove(0);
        assert!(row.get("packet").is_none(), "{row}");
    }
}

#[test]
fn variables_can_be_set() {
    let capture = programs("recordings/packets.pcap");
    let dropped = |setting: &str| {
        let row = probity![
            "run",
            &programs("tc-meter/tc-meter.o"),
            "--packets",
            &capture,
            "--set",
            setting,
            "--json"
        ]
        .run()
        .ok()
        .json_lines()
        .remove(0);
        row["maps"][".bss"]["dropped"].as_u64().unwrap()
    };
    assert_eq!(dropped("byte_budget=0"), 0);
    assert!(dropped("byte_budget=1000") > 0);
}

#[test]
fn maps_get_the_sizes_that_a_loader_would_set() {
    let scratch = Scratch::new();
    let source = "\
.license \"GPL\"
.map counts kind=hash key=4 value=8 max_entries=0
.section \"xdp\"
count:
    *(u64 *)(r10 - 8) = 7
    *(u64 *)(r10 - 16) = 1
    r1 = counts ll
    r2 = r10
    r2 += -8
    r3 = r10
    r3 += -16
    r4 = 0
    call bpf_map_update_elem
    exit
";
    let object = scratch.file("count.s", source);
    probity!["run", &object]
        .run()
        .fails(&["map counts", "give --entries counts=NUMBER"]);
    let run = |setting: &str| probity!["run", &object, "--json", "--entries", setting].run();
    let row = run("counts=4").ok().json_lines().remove(0);
    let counts = row["maps"]["counts"].as_array();
    assert_eq!(counts.map(Vec::len), Some(1), "{row}");
    run("count=4").fails(&["no map `count`", "counts"]);
    run("counts=0x100000000").fails(&["more than a map has"]);
    run("counts").fails(&["is not MAP=NUMBER"]);
    probity!["verify", &object, "--entries", "counts=4"]
        .run()
        .ok();
    // As libbpf rounds it.
    let ring = source.replace("kind=hash key=4 value=8", "kind=ringbuf");
    let ring = ring.replace("call bpf_map_update_elem", "r1 = 0");
    let ring = scratch.file("ring.s", ring);
    let size = "counts=5000";
    probity!["dump", "--stage", "object", "--entries", size, &ring]
        .run()
        .prints(&["entries 8192"]);
}

/// Another process, with everything elsewhere in memory, runs the code that the first one compiled.
#[test]
fn the_second_process_takes_its_code_from_the_cache() {
    let scratch = Scratch::new();
    let (cache, dumps) = (scratch.path("cache"), scratch.path("dumps"));
    std::fs::create_dir(&dumps).expect("a directory");
    let capture = scratch.file("in.pcap", pcap(&[udp(53, 0), udp(53, 7), udp(80, 0)]));
    let program = programs("xdp-fragments/xdp-fragments.s");
    let run = |cache: &std::path::Path| {
        probity![
            "run",
            &program,
            "--packets",
            &capture,
            "--cache",
            cache,
            "--jitdump",
            &dumps,
            "--json"
        ]
        .run()
    };
    let mut rows = Vec::new();
    for cached in [false, true, true] {
        let mut row = run(&cache).ok().json_lines().remove(0);
        assert_eq!(row["from_cache"], cached, "{row}");
        row["from_cache"] = true.into();
        row["ns"] = 0.into();
        rows.push((row["verdicts"].clone(), row["maps"].clone()));
    }
    assert!(rows.iter().all(|r| *r == rows[0]), "{rows:?}");
    let dumped = std::fs::read_dir(&dumps).expect("a directory").count();
    assert_eq!(dumped, 3, "a file a process");
    // Others may read it: refused, with the reason.
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let refused = run(&cache);
    assert!(
        refused.stderr.contains("others may use it"),
        "{}",
        refused.stderr
    );
}
