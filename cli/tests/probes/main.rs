//! Each kind of probe that this kernel has, as root, held to a known load: N of everything counts N.
//! Kinds that need kprobes or trampolines are held to it in a virtual machine (`tests/vm/script-probes.sh`).

mod names;
mod objects;
mod replays;
mod stacks;

#[path = "../common/mod.rs"]
mod common;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

const N: u64 = 137;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The load, built; `None` says why nothing is tested.
fn load() -> Option<&'static str> {
    static LOAD: OnceLock<Option<String>> = OnceLock::new();
    LOAD.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let is_root = status
            .lines()
            .any(|l| l.starts_with("Uid:") && l.split_whitespace().nth(2) == Some("0"));
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let file = directory.join("load");
        let built = Command::new("cc")
            .args(["-O1", "-g", "-static", "-no-pie", "-o"])
            .arg(&file)
            .arg(root().join("tests/vm/load.c"))
            .status();
        if is_root && built.is_ok_and(|s| s.success()) {
            return Some(file.display().to_string());
        }
        assert!(
            std::env::var_os("PROBITY_REQUIRE_KERNEL").is_none(),
            "the kernel is required, but this is not root, or cc is missing"
        );
        println!("skipped: not root, or no cc");
        None
    })
    .as_deref()
}

fn probity(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_probity"))
        .current_dir(root())
        .arg("trace")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The maps that a script ends with, run beside the load.
fn maps(script: &str, more: &[&str]) -> Value {
    let command = format!("{} {N}", load().unwrap());
    let args = [&["-f", "json", "-c", &command, "-e", script], more].concat();
    let done = probity(&args);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    let mut all = serde_json::Map::new();
    for row in text.lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        if let ("map", Some(data)) = (row["type"].as_str().unwrap_or(""), row["data"].as_object()) {
            all.extend(data.clone());
        }
    }
    Value::Object(all)
}

/// `{load}` is the load's path.
fn holds(script: &str, wanted: &[(&str, u64)]) {
    let Some(path) = load() else { return };
    let maps = maps(&script.replace("{load}", path), &[]);
    for (map, count) in wanted {
        let (map, key) = map.split_once('[').unwrap_or((map, ""));
        let value = match key.trim_end_matches(']').replace("{load}", path) {
            key if key.is_empty() => &maps[map],
            key => &maps[map][key],
        };
        assert_eq!(value.as_u64(), Some(*count), "{script}: {map} in {maps}");
    }
}

#[test]
fn tracepoints() {
    holds(
        "tracepoint:syscalls:sys_enter_getppid /pid == cpid/ { @ = count(); }",
        &[("@", N)],
    );
    holds(
        "rawtracepoint:sys_enter /pid == cpid/ { if (arg1 == 110) { @ = count(); } }",
        &[("@", N)],
    );
}

#[test]
fn wildcards_share_a_program_that_knows_its_place() {
    holds(
        "tracepoint:syscalls:sys_enter_getp*id /pid == cpid/ { @ = count(); @p[probe] = count(); }",
        &[
            ("@", 2 * N),
            ("@p[tracepoint:syscalls:sys_enter_getppid]", N),
            ("@p[tracepoint:syscalls:sys_enter_getpgid]", N),
        ],
    );
    holds(
        "tracepoint:syscalls:sys_enter_getp*id /pid == cpid/ { @ = count(); }",
        &[("@", 2 * N)],
    );
    holds(
        "uprobe:{load}:work_* /pid == cpid/ { @[probe] = count(); }",
        &[
            ("@[uprobe:{load}:work_first]", N),
            ("@[uprobe:{load}:work_second]", N),
        ],
    );
}

#[test]
fn functions_of_programs() {
    holds(
        "uprobe:{load}:work_first /pid == cpid/ { @ = count(); @s = sum(arg1); } uretprobe:{load}:work_first /pid == cpid/ { @m = max(retval); }",
        &[("@", N), ("@s", N), ("@m", N)],
    );
}

#[test]
fn a_static_probe_with_a_semaphore_is_switched_on() {
    holds(
        "usdt:{load}:load:site /pid == cpid/ { @ = count(); @m = max(arg0); }",
        &[("@", N), ("@m", N - 1)],
    );
}

#[test]
fn two_signals_at_once_end_a_script_in_order() {
    if load().is_none() {
        return;
    }
    // `timeout` sends one to the process and one to its group.
    let script = "interval:s:100 { @ = 1; } end { printf(\"ended\\n\"); }";
    let mut running = common::Running::start(&["trace", "-e", script], Some("Attached"));
    let pid = running.child.id() as i32;
    // SAFETY: the child is ours and not waited for yet.
    unsafe {
        libc::kill(pid, libc::SIGINT);
        libc::kill(pid, libc::SIGINT);
        libc::kill(pid, libc::SIGTERM);
    }
    let mut said = String::new();
    let out = running.child.stdout.as_mut().unwrap();
    std::io::Read::read_to_string(out, &mut said).unwrap();
    assert!(running.child.wait().unwrap().success());
    assert!(said.starts_with("ended\n"), "{said}");
}

/// A program of the tests, built from its text.
fn built(name: &str, text: &str, flags: &[&str]) -> String {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (program, source) = (directory.join(name), directory.join(format!("{name}.c")));
    std::fs::write(&source, text).unwrap();
    let done = Command::new("cc")
        .args(flags)
        .arg("-o")
        .args([&program, &source])
        .status();
    assert!(done.is_ok_and(|s| s.success()), "{name}");
    program.display().to_string()
}

#[test]
fn page_faults_are_counted_each() {
    let Some(_) = load() else { return };
    let maps = maps("software:page-faults:1 /pid == cpid/ { @ = count(); }", &[]);
    assert!(maps["@"].as_u64() >= Some(N), "{maps}");
}

#[test]
fn an_iterator_walks_once_over_each() {
    let Some(_) = load() else { return };
    let me = std::process::id();
    let script = format!("iter:task {{ if (ctx->task->pid == {me}) {{ @ = count(); }} }}");
    let done = probity(&["-e", &script]);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        text.contains("@: 1\n"),
        "{text}{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn costs_are_told_by_probe() {
    let Some(path) = load() else { return };
    let command = format!("{path} {N}");
    let script = "tracepoint:syscalls:sys_enter_getppid /pid == cpid/ { @ = count(); }";
    let done = probity(&["--stats", "-f", "json", "-c", &command, "-e", script]);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let row = text
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap())
        .find(|r| r["type"] == "probe_stats");
    let row = row.unwrap_or_else(|| panic!("{text}"));
    let stats = &row["data"][0];
    assert!(stats["runs"].as_u64() >= Some(N), "{row}");
    assert!(stats["nanoseconds"].as_u64() > Some(0), "{row}");
}

#[test]
fn filters_let_only_their_own_through() {
    let Some(_) = load() else { return };
    let script = "tracepoint:syscalls:sys_enter_getppid { @ = count(); }";
    // Of our own namespace the load is one.
    let all = maps(script, &["--pidns", "/proc/self/ns/pid"]);
    assert!(all["@"].as_u64() >= Some(N), "{all}");
    // Nothing of ours is process 2, the kernel's own.
    let none = maps(script, &["-p", "2"]);
    assert_ne!(none["@"].as_u64(), Some(N), "{none}");
}

#[test]
fn every_record_is_printed_or_counted_as_lost() {
    let Some(path) = load() else { return };
    const CALLS: u64 = 50_000;
    let command = format!("{path} {CALLS}");
    let script = "tracepoint:syscalls:sys_enter_getppid /pid == cpid/ { printf(\"%d %s %llu\\n\", pid, comm, nsecs); }";
    let done = probity(&["-f", "json", "-c", &command, "-e", script]);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let (mut printed, mut lost) = (0, 0);
    for row in text.lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        match row["type"].as_str() {
            Some("printf") => printed += 1,
            Some("lost_events") => lost += row["data"]["events"].as_u64().unwrap(),
            _ => {}
        }
    }
    assert_eq!(printed + lost, CALLS, "{printed} printed, {lost} lost");
}

/// How many processes of the command have lost their parent: they close what the kernel is long in closing.
fn left_behind() -> usize {
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|p| std::fs::read_to_string(p.path().join("stat")).ok());
    let leads = |s: &String| {
        let (name, rest) = s.split_once(" (")?.1.rsplit_once(") ")?;
        let session = rest.split(' ').nth(3)?;
        Some(name == "probity" && s.starts_with(&format!("{session} (")))
    };
    stats.filter(|s| leads(s) == Some(true)).count()
}

#[test]
fn hundreds_of_tracepoints_count_and_are_let_go_at_once() {
    let Some(path) = load() else { return };
    let command = format!("{path} {N}");
    let script = "tracepoint:syscalls:sys_enter_* /pid == cpid/ { @[probe] = count(); } end { printf(\"%d\\n\", len(@)); }";
    let done = probity(&["-c", &command, "-e", script]);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    for call in ["getppid", "getpgid", "getsid"] {
        let line = format!("@[tracepoint:syscalls:sys_enter_{call}]: {N}\n");
        assert!(text.contains(&line), "{text}");
    }
    // The kernel takes 40 ms to let go of each: whoever does that is still at it, and it is not the command.
    assert!(left_behind() > 0, "it waited for the kernel itself");
}

/// The unified hierarchy of control groups, where there is one to write to.
fn unified() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    let mut words = mounts.lines().map(|l| l.split(' ').collect::<Vec<_>>());
    let mount = words.find(|w| w.get(2) == Some(&"cgroup2"))?;
    Some(PathBuf::from(mount.get(1)?))
}

#[test]
fn a_control_group_is_told_from_others() {
    let Some(path) = load() else { return };
    let Some(groups) = unified() else {
        return println!("skipped: no unified hierarchy of control groups");
    };
    let group = groups.join(format!("probity-test-{}", std::process::id()));
    if std::fs::create_dir(&group).is_err() {
        return println!("skipped: control groups cannot be made here");
    }
    let procs = group.join("cgroup.procs");
    // One load outside of the group and one in it.
    let command = format!(
        "sh -c '{path} {N}; echo $$ > {}; exec {path} {N}'",
        procs.display()
    );
    let script = "tracepoint:syscalls:sys_enter_getppid /comm == \"load\"/ { @ = count(); }";
    let directory = group.display().to_string();
    let args = [
        "-f", "json", "--cgroup", &directory, "-c", &command, "-e", script,
    ];
    let done = probity(&args);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let _ = std::fs::remove_dir(&group);
    let row = text
        .lines()
        .filter_map(|l| serde_json::from_str::<Value>(l).ok())
        .find(|r| r["type"] == "map");
    let row = row.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&done.stderr)));
    assert_eq!(row["data"]["@"].as_u64(), Some(N), "{row}");
}

#[test]
fn a_namespace_of_processes_is_told_from_others() {
    let Some(path) = load() else { return };
    // By a name of its own: other tests run the load too.
    let own = format!("{path}-ns");
    std::fs::copy(path, &own).unwrap();
    let path = own;
    // One load in our namespace, one in a namespace of its own.
    let command = format!("sh -c '{path} {N}; unshare --pid --fork {path} {N}'");
    let script = "tracepoint:syscalls:sys_enter_getppid /comm == \"load-ns\"/ { @ = count(); }";
    for (more, wanted) in [(&["--pidns", "/proc/self/ns/pid"][..], N), (&[], 2 * N)] {
        let args = [more, &["-f", "json", "-c", &command, "-e", script]].concat();
        let done = probity(&args);
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let row = text
            .lines()
            .filter_map(|l| serde_json::from_str::<Value>(l).ok())
            .find(|r| r["type"] == "map");
        let row = row.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&done.stderr)));
        assert_eq!(row["data"]["@"].as_u64(), Some(wanted), "{more:?} {row}");
    }
}

#[test]
fn a_counter_that_the_processor_lacks_is_refused_by_name() {
    let Some(_) = load() else { return };
    let counters = std::path::Path::new("/sys/bus/event_source/devices/cpu");
    let script = "hardware:instructions:100000 { @ = count(); }";
    let done = probity(&["--duration", "1s", "-e", script]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    match counters.exists() {
        true => assert!(text.contains("@: "), "{text}{said}"),
        false => assert!(said.contains("this machine has no such event"), "{said}"),
    }
}

#[test]
fn a_signal_to_the_tracer_runs_a_probe() {
    let Some(_) = load() else { return };
    let script = "self:signal:SIGUSR2 { printf(\"it came\\n\"); exit(); }";
    let command = "sh -c 'kill -USR2 $PPID; sleep 5'";
    let done = probity(&["-c", command, "-e", script]);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        text.contains("it came"),
        "{text}{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn packets_are_written_into_a_capture_file() {
    let Some(_) = load() else { return };
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("packets.pcap");
    let _ = std::fs::remove_file(&file);
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = receiver.local_addr().unwrap().port();
    // The packet's bytes from its IP header on: 20, then the ports.
    let script = format!(
        "rawtracepoint:netif_receive_skb {{ $s = (struct sk_buff *)arg0; \
         if bswap(*(uint16 *)($s->data + 22)) == {port} {{ $r = skboutput(\"{}\", $s, 40, 0); @[$r] = count(); }} }}",
        file.display()
    );
    let tracer = common::Running::start(&["trace", "-e", &script], Some("Attached"));
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 0..N {
        let text = format!("packet {n:03} of them, and more that is left out");
        sender
            .send_to(text.as_bytes(), ("127.0.0.1", port))
            .unwrap();
        let mut received = [0; 64];
        receiver.recv(&mut received).unwrap();
    }
    let out = tracer.interrupt();
    assert!(out.contains(&format!("@[0]: {N}\n")), "{out}");
    let bytes = std::fs::read(&file).unwrap();
    // Big-endian: the magic of nanoseconds, and raw IP.
    assert_eq!(
        (&bytes[..4], &bytes[20..24]),
        (&[0xa1, 0xb2, 0x3c, 0x4d][..], &[0, 0, 0, 101][..])
    );
    let packets: Vec<&[u8]> = bytes[24..].chunks(16 + 40).collect();
    assert_eq!(packets.len() as u64, N);
    for (n, packet) in packets.iter().enumerate() {
        let number = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
        // Kept, and how long it was: two headers and the text.
        assert_eq!((number(8), number(12)), (40, 20 + 8 + 45), "{n}");
        assert_eq!(&packet[16 + 28..], format!("packet {n:03} o").as_bytes());
    }
}

/// What the watchpoint's test writes to.
static WATCHED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

#[test]
fn a_watchpoint_is_let_go() {
    let Some(_) = load() else { return };
    let (at, me) = (WATCHED.as_ptr() as usize, std::process::id());
    let script =
        format!("watchpoint:{at:#x}:4:w /pid == {me}/ {{ @ = count(); unwatch({at:#x}); }}");
    let tracer = common::Running::start(&["trace", "-e", &script], Some("Attached"));
    let events = || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", tracer.child.id())).unwrap();
        let names = open.flatten().filter_map(|f| f.path().read_link().ok());
        names
            .filter(|n| n.to_string_lossy().contains("perf_event"))
            .count()
    };
    assert!(events() > 0);
    WATCHED.store(1, std::sync::atomic::Ordering::SeqCst);
    while events() > 0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for n in 0..N as u32 {
        WATCHED.store(n, std::sync::atomic::Ordering::SeqCst);
    }
    let out = tracer.interrupt();
    assert!(out.contains("@: 1\n"), "{out}");
}
