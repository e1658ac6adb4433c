//! `probity attach` on the running kernel, where we are root.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::process::live;
use crate::{probity, programs};

/// Runs `busy` again and again for as long as `attached` takes.
fn meanwhile<T>(busy: impl Fn() + Send + Sync, attached: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                busy();
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(attached));
        done.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn map<'a>(rows: &'a [Value], name: &str) -> &'a Value {
    rows.iter()
        .find(|r| r["type"] == "map" && r["map"] == name)
        .map(|r| &r["data"])
        .unwrap_or_else(|| panic!("no map {name} in {rows:?}"))
}

#[test]
fn records_are_decoded() {
    if !live() {
        return;
    }
    let busy = || drop(Command::new("true").status());
    let rows = meanwhile(busy, || {
        probity![
            "attach",
            &programs("exec-snoop/exec-snoop.o"),
            "--json",
            "--duration",
            "1.5"
        ]
        .run()
        .ok()
        .json_lines()
    });
    let us = std::process::id();
    let ours = rows
        .iter()
        .find(|r| r["type"] == "record" && r["data"]["comm"] == "true" && r["data"]["ppid"] == us);
    let ours = ours.unwrap_or_else(|| panic!("no record of `true` in {rows:?}"));
    assert_eq!(
        (&ours["map"], &ours["struct"]),
        (&"events".into(), &"event".into())
    );
    assert!(
        ours["data"]["filename"]
            .as_str()
            .unwrap()
            .ends_with("/true"),
        "{ours}"
    );
    assert!(
        map(&rows, "execs_by_uid")
            .as_array()
            .is_some_and(|e| !e.is_empty())
    );
    assert_eq!(map(&rows, ".bss")["lost"], 0);
}

/// Twice in a row: the first must have let go of the interface.
#[test]
fn packets_of_an_interface() {
    if !live() {
        return;
    }
    let send = || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let _ = socket.send_to(b"hello", "127.0.0.1:9");
    };
    for (program, total) in [
        ("xdp-firewall/xdp-firewall.o", "verdicts"),
        ("tc-meter/tc-meter.o", "flows"),
        ("port-counter/port-counter.o", "packets"),
    ] {
        for _ in 0..2 {
            let rows = meanwhile(send, || {
                probity![
                    "attach",
                    &programs(program),
                    "-i",
                    "lo",
                    "--json",
                    "-d",
                    "0.7"
                ]
                .run()
                .ok()
                .json_lines()
            });
            let entries = map(&rows, total).as_array().unwrap();
            assert!(!entries.is_empty(), "{program}: {rows:?}");
        }
    }
}

/// A control group of the unified hierarchy, with one process that we started.
struct Group {
    path: PathBuf,
    inside: Child,
}

impl Group {
    /// A shell in the group sends datagrams of 6 bytes: 34 with their headers.
    fn sending() -> Option<Group> {
        let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
        let root = mounts.lines().find_map(|l| {
            let mut words = l.split_whitespace();
            let (path, kind) = (words.nth(1)?, words.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(path))
        })?;
        let path = root.join(format!("probity-test-{}", std::process::id()));
        std::fs::create_dir(&path).ok()?;
        let script = "echo $$ > \"$0/cgroup.procs\"; \
                      while :; do echo hello > /dev/udp/127.0.0.1/9; sleep 0.05; done";
        let inside = Command::new("bash")
            .args(["-c", script])
            .arg(&path)
            .spawn()
            .ok()?;
        Some(Group { path, inside })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.inside.kill();
        let _ = self.inside.wait();
        // The `sleep` it may have left behind ends by itself.
        for _ in 0..40 {
            if std::fs::remove_dir(&self.path).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    }
}

#[test]
fn packets_of_a_control_group() {
    if !live() {
        return;
    }
    let Some(group) = Group::sending() else {
        println!("skipped: no unified hierarchy to make a control group in");
        return;
    };
    let rows = probity![
        "attach",
        &programs("cgroup-meter/cgroup-meter.o"),
        "--cgroup",
        &group.path,
        "--json",
        "-d",
        "1"
    ]
    .run()
    .ok()
    .json_lines();
    let total = map(&rows, ".bss")["total"].as_u64().unwrap();
    assert!(total > 0 && total.is_multiple_of(34), "{rows:?}");
    let entries = map(&rows, "bytes_by_protocol").as_array().unwrap();
    assert_eq!(entries.len(), 1, "{rows:?}");
    assert_eq!(
        (&entries[0]["key"], &entries[0]["value"]),
        (&17.into(), &total.into())
    );
}

#[test]
fn places_that_are_not_there() {
    if !live() {
        return;
    }
    let xdp = programs("xdp-firewall/xdp-firewall.o");
    let cgroup = programs("cgroup-meter/cgroup-meter.o");
    probity!["attach", &xdp]
        .run()
        .fails(&["xdp_firewall", "--interface"]);
    probity!["attach", &xdp, "-i", "nope0"]
        .run()
        .fails(&["nope0", "interface"]);
    probity!["attach", &cgroup]
        .run()
        .fails(&["cgroup_meter", "--cgroup"]);
    probity!["attach", &cgroup, "--cgroup", "/tmp"]
        .run()
        .fails(&["/tmp", "cgroup v2"]);
    probity!["attach", &cgroup, "--cgroup", "/no/such"]
        .run()
        .fails(&["/no/such"]);
}

#[test]
fn what_is_rejected_is_not_loaded() {
    let done = probity!["attach", &programs("unsafe/recursion.o")].run();
    assert_eq!(done.code, 1, "{done}");
    done.prints(&["reject", "recursion.bpf.c:9"]);
}
