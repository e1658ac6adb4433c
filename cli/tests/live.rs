//! The command in the running kernel, as root: every way of attaching sees what happens.

mod common;

use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Running, may_attach, root};
use serde_json::Value;

/// A running `probity`, its probes attached.
struct Live(Running);

impl Live {
    fn start(args: &[&str]) -> Live {
        Live(Running::start(args, Some("Attached")))
    }

    fn interrupt(self) -> String {
        self.0.interrupt()
    }

    fn map(self, name: &str) -> Value {
        let out = self.interrupt();
        let rows = out
            .lines()
            .map(|l| serde_json::from_str::<Value>(l).unwrap());
        let mut rows = rows.filter(|r| r["type"] == "map" && r["map"] == name);
        rows.next()
            .unwrap_or_else(|| panic!("no map {name} in {out}"))["data"]
            .clone()
    }
}

fn send_packets() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..5 {
        socket.send_to(b"x", "127.0.0.1:9").unwrap();
    }
    std::thread::sleep(Duration::from_millis(200));
}

#[test]
fn a_tracepoint_reports_what_is_executed() {
    if !may_attach() {
        return;
    }
    let live = Live::start(&["attach", "--json", "programs/exec-snoop/exec-snoop.o"]);
    assert!(Command::new("/bin/true").status().unwrap().success());
    std::thread::sleep(Duration::from_millis(300));
    let out = live.interrupt();
    let me = std::process::id();
    let mine = out
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap())
        .find(|r| r["type"] == "record" && r["data"]["ppid"] == me && r["data"]["comm"] == "true");
    let mine = mine.unwrap_or_else(|| panic!("/bin/true of {me} is not in {out}"));
    assert!(
        mine["data"]["filename"]
            .as_str()
            .unwrap()
            .ends_with("bin/true")
    );
}

#[test]
fn raw_tracepoints_count() {
    if !may_attach() {
        return;
    }
    let me = format!("only_pid={}", std::process::id());
    let live = Live::start(&[
        "attach",
        "--json",
        "--set",
        &me,
        "programs/syscall-count/syscall-count.o",
    ]);
    for _ in 0..100 {
        let _ = std::fs::metadata("/nonexistent");
    }
    let calls = live.map("calls");
    let all: u64 = calls
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|e| e["value"].as_array().unwrap())
        .filter_map(Value::as_u64)
        .sum();
    assert!(all >= 100, "{calls}");
}

/// What a proof leaves open, an address that only the running kernel knows, is there when the program runs.
#[test]
fn kernel_symbols_without_a_type_have_their_addresses() {
    if !may_attach() {
        return;
    }
    let live = Live::start(&["attach", "--json", "cli/tests/objects/kernel-symbols.o"]);
    let _ = std::fs::metadata("/nonexistent");
    let addresses = live.map("addresses");
    let value = |n: usize| addresses[n]["value"].as_u64().unwrap();
    let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap();
    let line = symbols.lines().find(|l| l.ends_with(" do_exit"));
    let address = line.unwrap().split(' ').next().unwrap();
    assert_eq!(value(0), u64::from_str_radix(address, 16).unwrap());
    // One that may be missing, and is: 0, to which the program adds 1.
    assert_eq!(value(1), 1);
}

#[test]
fn uprobes_see_the_library_called() {
    if !may_attach() {
        return;
    }
    let live = Live::start(&["attach", "--json", "programs/malloc-sizes/malloc-sizes.o"]);
    assert!(
        Command::new("ls")
            .arg("/")
            .stdout(Stdio::null())
            .status()
            .unwrap()
            .success()
    );
    let by_process = live.map("by_process");
    let rows = by_process.as_array().unwrap();
    assert!(
        rows.iter().any(|r| r["value"]["calls"].as_u64() > Some(5)),
        "{by_process}"
    );
}

#[test]
fn perf_events_sample() {
    if !may_attach() {
        return;
    }
    let live = Live::start(&["attach", "--json", "programs/cpu-profile/cpu-profile.o"]);
    let end = std::time::Instant::now() + Duration::from_millis(600);
    while std::time::Instant::now() < end {
        std::hint::black_box(0);
    }
    let samples = live.map("samples");
    let me = std::process::id();
    assert!(
        samples
            .as_array()
            .unwrap()
            .iter()
            .any(|r| r["key"]["pid"] == me && r["key"]["kernel"] == 0),
        "{samples}"
    );
}

#[test]
fn xdp_tc_and_sockets_see_packets() {
    if !may_attach() {
        return;
    }
    let live = Live::start(&[
        "attach",
        "--json",
        "--interface",
        "lo",
        "programs/xdp-firewall/xdp-firewall.o",
    ]);
    send_packets();
    let verdicts = live.map("verdicts");
    assert!(
        verdicts.as_array().unwrap().iter().any(|r| r["key"] == 2),
        "{verdicts}"
    );

    let live = Live::start(&[
        "attach",
        "--json",
        "--interface",
        "lo",
        "programs/tc-meter/tc-meter.o",
    ]);
    send_packets();
    let flows = live.map("flows");
    assert!(
        flows
            .as_array()
            .unwrap()
            .iter()
            .any(|r| r["key"]["dport"] == 9 && r["key"]["protocol"] == 17),
        "{flows}"
    );

    let live = Live::start(&[
        "attach",
        "--json",
        "--interface",
        "lo",
        "programs/port-counter/port-counter.o",
    ]);
    send_packets();
    let ports = live.map("packets");
    assert!(
        ports
            .as_array()
            .unwrap()
            .iter()
            .any(|r| r["key"] == (17 << 16 | 9)),
        "{ports}"
    );
}

#[test]
fn control_groups_are_metered() {
    if !may_attach() {
        return;
    }
    let group = "/sys/fs/cgroup";
    if !std::path::Path::new(group).join("cgroup.procs").exists() {
        println!("skipped: no version 2 control groups at {group}");
        return;
    }
    let live = Live::start(&[
        "attach",
        "--json",
        "--cgroup",
        group,
        "programs/cgroup-meter/cgroup-meter.o",
    ]);
    send_packets();
    let data = live.map(".bss");
    assert!(data["total"].as_u64() >= Some(5 * 29), "{data}");
}

#[test]
fn a_script_counts_what_a_command_does() {
    if !may_attach() {
        return;
    }
    let script = "tracepoint:syscalls:sys_enter_openat /pid == cpid/ { @opens = count(); } end { printf(\"done\\n\"); }";
    let out = Command::new(env!("CARGO_BIN_EXE_probity"))
        .args([
            "trace",
            "-q",
            "-c",
            "cat /etc/passwd /etc/group",
            "-e",
            script,
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{text} {}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(text.contains("\ndone\n"), "{text}");
    let opens: u64 = text
        .lines()
        .find_map(|l| l.strip_prefix("@opens: "))
        .unwrap()
        .parse()
        .unwrap();
    assert!(opens >= 2, "{text}");
}

#[test]
fn the_main_job_prints_a_table() {
    if !may_attach() {
        return;
    }
    let out = Command::new(env!("CARGO_BIN_EXE_probity"))
        .current_dir(root())
        .args([
            "trace",
            "--duration",
            "1",
            "programs/scripts/syscalls-by-process.bt",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(
        text.lines().any(|l| l.starts_with("@calls[probity]: ")),
        "{text}"
    );
}
