//! The packet filter on captures, and on an interface where that is allowed.

use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("extensions")
        .join(name)
}

fn recording() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../recordings/packets.pcap")
}

fn filter() -> Command {
    Command::new(env!("CARGO_BIN_EXE_probity-packet-filter"))
}

fn run(command: &mut Command) -> (Output, String) {
    let done = command.output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    (done, said)
}

/// The packets of a capture, each with its header.
fn packets(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let (mut at, mut all) = (24, Vec::new());
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    while at < bytes.len() {
        let length = word(at + 8);
        all.push(bytes[at + 16..at + 16 + length].to_vec());
        at += 16 + length;
    }
    all
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("filter-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_header_and_the_description_are_the_committed_ones() {
    for (name, flag) in [
        ("packet-filter.h", "--header"),
        ("packet-filter.json", "--describe"),
    ] {
        let text = filter().arg(flag).output().unwrap().stdout;
        if std::env::var_os("WRITE_EXPECTED").is_some() {
            std::fs::write(file(name), &text).unwrap();
        }
        assert_eq!(std::fs::read(file(name)).unwrap(), text, "{name}");
    }
}

#[test]
fn the_assembled_object_is_what_its_source_gives() {
    let text = std::fs::read_to_string(file("fragments.s")).unwrap();
    let lookup = |name: &str| name.ends_with("map_lookup_elem").then_some(1);
    let made = probity_objfile::assemble("fragments", &text, &lookup).unwrap();
    let made = probity_objfile::open("a", &probity_objfile::write(&made).unwrap()).unwrap();
    let there = std::fs::read(file("fragments.o")).unwrap();
    let there = probity_objfile::open("a", &there).unwrap();
    assert_eq!(made.programs[0].insns, there.programs[0].insns);
}

#[test]
fn packets_of_a_capture_pass_or_do_not() {
    let scratch = Scratch::new("capture");
    let all = packets(&recording());
    // Without an extension all of them pass, unchanged.
    let out = scratch.0.join("out.pcap");
    let (done, said) = run(filter()
        .arg("--read")
        .arg(recording())
        .arg("--write")
        .arg(&out));
    assert!(done.status.success(), "{said}");
    assert!(
        said.contains(&format!("{} packets, {} passed", all.len(), all.len())),
        "{said}"
    );
    assert_eq!(packets(&out), all);
    // With all of ours, those that are neither to port 23 nor later fragments.
    let port = |p: &[u8]| {
        let ip = p.get(14..)?;
        let ours = p.get(12..14)? == [8, 0] && [6, 17].contains(ip.get(9)?);
        let ports = ip.get((ip[0] & 15) as usize * 4..)?;
        ours.then(|| Some(u16::from_be_bytes([*ports.get(2)?, *ports.get(3)?])))
            .flatten()
    };
    let fragment = |p: &[u8]| {
        p.len() >= 34 && p[12..14] == [8, 0] && u16::from_be_bytes([p[20], p[21]]) & 0x1fff != 0
    };
    let mut want: Vec<Vec<u8>> = all.clone();
    want.retain(|p| port(p) != Some(23) && !fragment(p));
    let mut command = filter();
    command
        .arg("--read")
        .arg(recording())
        .arg("--write")
        .arg(&out);
    for name in ["ports.o", "sources.o", "fragments.o"] {
        command.arg("--load").arg(file(name));
    }
    let (done, said) = run(&mut command);
    assert!(done.status.success(), "{said}");
    assert_eq!(packets(&out), want, "{said}");
}

/// Packets that are made for it: both kinds are dropped, and the others pass.
#[test]
fn what_is_blocked_is_dropped() {
    let scratch = Scratch::new("blocked");
    let udp = |port: u16, offset: u16| {
        let mut p = vec![0; 60];
        p[12] = 8;
        p[14] = 0x45;
        p[20..22].copy_from_slice(&offset.to_be_bytes());
        p[23] = 17;
        p[26..30].copy_from_slice(&[192, 0, 2, 1]);
        p[36..38].copy_from_slice(&port.to_be_bytes());
        p
    };
    let made = [
        udp(53, 0),
        udp(23, 0),
        udp(80, 100),
        udp(443, 0),
        vec![0; 3],
    ];
    let mut bytes = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0].to_vec();
    bytes.extend([0; 8]);
    bytes.extend(65_535u32.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    for p in &made {
        bytes.extend([0; 8]);
        bytes.extend([(p.len() as u32).to_le_bytes(); 2].concat());
        bytes.extend(p);
    }
    let (from, to) = (scratch.0.join("in.pcap"), scratch.0.join("out.pcap"));
    std::fs::write(&from, bytes).unwrap();
    let mut command = filter();
    command.arg("--read").arg(&from).arg("--write").arg(&to);
    command
        .arg("--load")
        .arg(file("ports.o"))
        .arg("--load")
        .arg(file("fragments.o"));
    let (done, said) = run(command.arg("--load").arg(file("sources.o")));
    assert!(
        done.status.success() && said.contains("5 packets, 3 passed"),
        "{said}"
    );
    assert_eq!(
        packets(&to),
        [made[0].clone(), made[3].clone(), made[4].clone()]
    );
    assert!(
        said.contains("ports: 4 calls; verdicts 0: 1, 1: 3"),
        "{said}"
    );
}

/// Only root may; elsewhere it says that it may not.
#[test]
fn packets_of_an_interface_are_filtered() {
    let scratch = Scratch::new("interface");
    let out = scratch.0.join("out.pcap");
    let mut command = filter();
    command
        .args(["--interface", "lo", "--count", "20", "--write"])
        .arg(&out);
    command
        .arg("--load")
        .arg(file("ports.o"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = command.spawn().unwrap();
    let mut stdout = BufReader::new(running.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    if line.is_empty() {
        let mut said = String::new();
        running
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert!(!running.wait().unwrap().success());
        assert!(said.contains("cannot open the interface `lo`"), "{said}");
        println!("skipped: {said}");
        return;
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..200 {
        let _ = socket.send_to(b"a packet that is dropped", "127.0.0.1:23");
        let _ = socket.send_to(b"a packet that passes", socket.local_addr().unwrap());
        if running.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(running.wait().unwrap().success());
    let passed = packets(&out);
    // Of UDP: what nobody listens to is quoted in ICMP messages, which pass.
    let has = |text: &[u8]| {
        let with = |p: &&Vec<u8>| p[23] == 17 && p.windows(text.len()).any(|w| w == text);
        passed.iter().filter(|p| p.len() > 24).any(|p| with(&p))
    };
    assert!(has(b"a packet that passes"));
    assert!(!has(b"a packet that is dropped"));
}

#[test]
fn what_it_cannot_do_it_says() {
    let missing = file("missing.pcap").display().to_string();
    let header = file("packet-filter.h").display().to_string();
    let recording = recording().display().to_string();
    let cases: &[(&[&str], &str)] = &[
        (&[], "no packets"),
        (&["--read", &missing], "cannot read"),
        (&["--read", &header], "is no capture"),
        (&["--read", &recording, "--load", &header], "cannot load"),
        (
            &["--interface", "nonesuch0"],
            "cannot open the interface `nonesuch0`",
        ),
        (
            &["--read", &recording, "--write", "/nonesuch/out"],
            "cannot write",
        ),
        (
            &["--read", &recording, "--forward", "lo"],
            "cannot be used with",
        ),
    ];
    for (args, what) in cases {
        let (done, said) = run(filter().args(*args));
        assert!(
            !done.status.success() && said.contains(what),
            "{args:?}: {said}"
        );
        assert!(!said.contains("panicked"), "{args:?}: {said}");
    }
}
