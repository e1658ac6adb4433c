//! `programs/scripts` in the running kernel under a load of known size: N calls give N counts, live and recorded.
//!
//! The load runs in a thread with a name of its own, so whatever else the machine does counts elsewhere.

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Running, may_attach, root};
use serde_json::Value;

/// How often each load does what it does.
const N: u64 = 50;

/// The name of the thread that a test's load runs in: tests run side by side.
fn name() -> String {
    let test = format!("{:?}", std::thread::current().id());
    let digits: String = test.chars().filter(char::is_ascii_digit).collect();
    format!("load-{digits}")
}

fn scratch(name: &str) -> PathBuf {
    let dir =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("load-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir.join(name)
}

/// What a script printed, JSON.
struct Printed(Vec<Value>);

impl Printed {
    fn of(out: &str) -> Printed {
        let parse = |l: &str| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"));
        Printed(out.lines().map(parse).collect())
    }

    /// The value of a map's key.
    fn at(&self, map: &str, key: &str) -> &Value {
        let found = self
            .0
            .iter()
            .filter_map(|r| r["data"].get(map))
            .find_map(|m| m.get(key));
        found.unwrap_or_else(|| panic!("no {map}[{key}] in {:?}", self.0))
    }

    fn number(&self, map: &str, key: &str) -> u64 {
        self.at(map, key).as_u64().unwrap()
    }

    /// All of a histogram.
    fn total(&self, map: &str, key: &str) -> u64 {
        let rows = self.at(map, key).as_array().unwrap();
        rows.iter().map(|r| r["count"].as_u64().unwrap()).sum()
    }

    fn lines(&self) -> Vec<&str> {
        let texts = self.0.iter().filter(|r| r["type"] == "printf");
        texts.filter_map(|r| r["data"].as_str()).collect()
    }
}

fn load(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name(name());
    thread.spawn(work).unwrap().join().unwrap();
    // What was caused is in the ring by now, or in the maps.
    std::thread::sleep(Duration::from_millis(200));
}

/// Runs a script live over a load.
fn live(script: &str, work: impl FnOnce() + Send + 'static) -> Printed {
    let file = format!("programs/scripts/{script}.bt");
    let running = Running::start(&["trace", "-f", "json", &file], None);
    // In JSON the remark that it is attached is a record; the probes tell by themselves.
    let mut running = running;
    let mut stdout = BufReader::new(running.child.stdout.take().unwrap());
    let mut first = String::new();
    while !first.contains("attached_probes") {
        first.clear();
        assert!(stdout.read_line(&mut first).unwrap() > 0, "{script} ended");
    }
    let reader = std::thread::spawn(move || {
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        rest
    });
    load(work);
    // SAFETY: the child is ours and not waited for yet.
    unsafe { libc::kill(running.child.id() as i32, libc::SIGINT) };
    let out = reader.join().unwrap();
    let mut errors = String::new();
    running.errors.read_to_string(&mut errors).unwrap();
    assert!(
        running.child.wait().unwrap().success(),
        "{script}: {errors}"
    );
    Printed::of(&out)
}

/// Records a script over a load, then replays it.
fn recorded(script: &str, work: impl FnOnce() + Send + 'static) -> Printed {
    let file = format!("programs/scripts/{script}.bt");
    let data = scratch(&format!("{script}.data"));
    let data = data.to_str().unwrap();
    let running = Running::start(&["record", "-s", &file, "-o", data], Some("Recording"));
    load(work);
    running.interrupt();
    let done = Command::new(env!("CARGO_BIN_EXE_probity"))
        .current_dir(root())
        .args(["trace", "-f", "json", "--replay", data, &file])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success() && !errors.contains("warning"),
        "{errors}"
    );
    Printed::of(&String::from_utf8_lossy(&done.stdout))
}

fn within(n: u64, most_more: u64) -> std::ops::RangeInclusive<u64> {
    n..=n + most_more
}

fn open_files() -> Vec<String> {
    let names: Vec<String> = (0..N)
        .map(|n| scratch(&format!("opened-{n}")).display().to_string())
        .collect();
    names.iter().for_each(|n| std::fs::write(n, "x").unwrap());
    names
}

#[test]
fn opened_files_are_named_one_by_one() {
    if !may_attach() {
        return;
    }
    for run in [live as fn(&str, _) -> Printed, recorded] {
        let names = open_files();
        let opened = names.clone();
        let work: Box<dyn FnOnce() + Send> =
            Box::new(move || opened.iter().for_each(|n| drop(File::open(n).unwrap())));
        let printed = run("open-files", work);
        assert_eq!(printed.number("@opened", &name()), N);
        let thread = name();
        for name in &names {
            let lines = printed.lines();
            let mine = lines
                .iter()
                .filter(|l| l.starts_with(&thread) && l.trim_end().ends_with(&format!(" {name}")));
            assert_eq!(mine.count(), 1, "{name} in {lines:?}");
        }
    }
}

#[test]
fn system_calls_are_counted_exactly() {
    if !may_attach() {
        return;
    }
    for run in [live as fn(&str, _) -> Printed, recorded] {
        let work: Box<dyn FnOnce() + Send> = Box::new(|| {
            for _ in 0..N * 20 {
                // SAFETY: the call has no preconditions.
                unsafe { libc::getppid() };
            }
        });
        let printed = run("syscalls-by-process", work);
        // A thread begins and ends with a few of its own.
        assert!(within(N * 20, 60).contains(&printed.number("@calls", &name())));
        assert!(printed.number("@numbers", &libc::SYS_getppid.to_string()) >= N * 20);
    }
}

#[test]
fn sleeps_are_seen_by_whoever_waits() {
    if !may_attach() {
        return;
    }
    fn sleep() {
        (0..N).for_each(|_| std::thread::sleep(Duration::from_millis(2)));
    }
    let printed = live("syscall-latency", sleep);
    assert!(within(N, 60).contains(&printed.number("@calls", &name())));
    assert!(printed.total("@usecs", "clock_nanosleep") >= N);
    // A busy machine takes the processor away between the sleeps too, or wakes the thread before it slept.
    let about = N - N / 5..=10 * N;
    let printed = live("off-cpu", sleep);
    let waits = printed.total("@usecs", &name());
    assert!(about.contains(&waits), "{waits}");
    let printed = live("run-queue-latency", sleep);
    let waits = printed.number("@waits", &name());
    assert!(about.contains(&waits), "{waits}");
}

#[test]
fn signals_are_counted_by_sender_and_receiver() {
    if !may_attach() {
        return;
    }
    let printed = live("signals", || {
        for _ in 0..N {
            // SAFETY: a thread signals itself; the signal is ignored by default.
            unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGURG) };
        }
    });
    let key = format!("{0},{1},{0}", name(), libc::SIGURG);
    assert_eq!(printed.number("@signals", &key), N);
}

#[test]
fn programs_are_seen_as_they_are_executed() {
    if !may_attach() {
        return;
    }
    let program = scratch("a-true-of-ours");
    std::fs::copy("/bin/true", &program).unwrap();
    let path = program.display().to_string();
    let printed = live("exec-snoop", move || {
        for _ in 0..N {
            assert!(Command::new(&program).status().unwrap().success());
        }
    });
    let lines = printed.lines();
    assert_eq!(lines.iter().filter(|l| l.contains(&path)).count() as u64, N);
}

#[test]
fn connections_are_seen_from_both_ends() {
    if !may_attach() {
        return;
    }
    for run in [live as fn(&str, _) -> Printed, recorded] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let work: Box<dyn FnOnce() + Send> = Box::new(move || {
            for _ in 0..N {
                let mut client = TcpStream::connect(address).unwrap();
                let (mut server, _) = listener.accept().unwrap();
                client.write_all(b"x").unwrap();
                drop(client);
                let mut all = Vec::new();
                server.read_to_end(&mut all).unwrap();
            }
        });
        let printed = run("tcp-life", work);
        let port = format!(" {} ", address.port());
        let lines = printed.lines();
        let mine = lines.iter().filter(|l| l.contains(&port)).count();
        assert_eq!(mine as u64, 2 * N, "{lines:?}");
    }
}

/// Writes a byte into each of so many new pages.
fn touch(pages: usize) {
    let bytes = pages * 4096;
    // SAFETY: a new mapping, written inside of its bounds, given back.
    unsafe {
        let at = libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert!(at != libc::MAP_FAILED);
        libc::madvise(at, bytes, libc::MADV_NOHUGEPAGE);
        for page in 0..pages {
            at.cast::<u8>().add(page * 4096).write_volatile(1);
        }
        libc::munmap(at, bytes);
    }
}

#[test]
fn new_pages_are_faults_and_growth() {
    if !may_attach() {
        return;
    }
    let printed = live("page-faults", || touch(1000));
    assert!(within(1000, 60).contains(&printed.number("@faults", &name())));
    // 64 MB; the kernel's own figure lags by what each processor has not added yet.
    let printed = live("memory-growth", || touch(16 << 10));
    let key = format!("{},{}", name(), std::process::id());
    assert!(printed.number("@kilobytes", &key) >= 60 << 10);
}

#[test]
fn reads_and_writes_add_up() {
    if !may_attach() {
        return;
    }
    let printed = live("read-sizes", || {
        let mut zeros = File::open("/dev/zero").unwrap();
        let mut null = File::create("/dev/null").unwrap();
        let mut buffer = [0; 512];
        for _ in 0..N {
            zeros.read_exact(&mut buffer).unwrap();
            null.write_all(&buffer).unwrap();
        }
    });
    assert_eq!(printed.number("@read_total", &name()), N * 512);
    let stats = printed.at("@write_stats", &name());
    assert_eq!(
        (&stats["count"], &stats["total"]),
        (&N.into(), &(N * 512).into())
    );
}

#[test]
fn blocks_that_are_written_are_requests() {
    if !may_attach() {
        return;
    }
    let path = scratch("blocks");
    let printed = live("block-latency", move || {
        let mut file = File::create(path).unwrap();
        for _ in 0..N {
            file.write_all(&[1; 4096]).unwrap();
            file.sync_all().unwrap();
        }
    });
    let requests = printed.0.iter().find_map(|r| r["data"].get("@requests"));
    let requests = requests.and_then(Value::as_u64);
    assert!(requests.is_some_and(|n| n >= N), "{requests:?}");
}

#[test]
fn a_busy_thread_is_where_the_samples_are() {
    if !may_attach() {
        return;
    }
    let printed = live("flame", || {
        // SAFETY: `t` is a valid place for the result.
        let spent = || unsafe {
            let mut t = std::mem::zeroed::<libc::timespec>();
            libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t);
            Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
        };
        let begin = Instant::now();
        while spent() < Duration::from_secs(1) && begin.elapsed() < Duration::from_secs(20) {
            std::hint::spin_loop();
        }
    });
    let (thread, mut samples) = (name(), 0);
    for line in printed.lines() {
        // What flame-graph tools read: frames, a blank, a number.
        let (frames, count) = line.trim_end().rsplit_once(' ').unwrap();
        let count: u64 = count.parse().unwrap();
        if frames.split(';').next() == Some(&*thread) {
            samples += count;
        }
    }
    // 99 a second of its own time.
    assert!((80..=120).contains(&samples), "{samples}");
}
