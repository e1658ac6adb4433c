//! Programs that can be run by themselves return on both engines what their annotations say, and what they return in Linux.
//!
//! Ours (`objects/*.bpf.c`) always; the kernel's selftests where `PROBITY_SELFTESTS` names a directory of built ones.
//! Linux is asked by `BPF_PROG_TEST_RUN`, as root. A difference is a failure unless `explained.toml` says why it is none.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use probity_btf::Type;
use probity_interp::Interp;
use probity_jit::Lowerings;
use probity_objfile::{Object, ProgType, Program};
use probity_platform::Platform;
use probity_runtime::{Context, Engine, Instance, Options, Sample};
use probity_tests::kernel::{Machine, Session};
use probity_tests::linux::{Loaded, allowed};

use crate::harness::{Pair, in_process, prove};

/// What runs came to.
#[derive(Default)]
struct Count {
    /// Programs that both engines ran.
    ran: usize,
    /// Of those, programs that return what their annotation says.
    annotated: usize,
    /// And programs whose result depends on where they run: it is compared with nothing.
    elsewhere: usize,
    /// Runs that Linux made too, with the same result.
    agreed: usize,
    explained: usize,
    wrong: Vec<String>,
}

/// A difference that is none of ours.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    /// File name of the object.
    object: String,
    programs: Vec<String>,
    why: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Explained {
    difference: Vec<Difference>,
}

impl Explained {
    fn read() -> Explained {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engines/explained.toml");
        let text = std::fs::read_to_string(path).expect("the table");
        let table: Explained = toml::from_str(&text).expect("a table");
        assert!(table.difference.iter().all(|d| !d.why.is_empty()));
        table
    }

    fn has(&self, object: &str, program: &str) -> bool {
        let mut all = self.difference.iter().filter(|d| d.object == object);
        all.any(|d| d.programs.iter().any(|p| p == program))
    }
}

#[test]
fn ours_return_what_they_say_here_and_in_linux() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engines/objects");
    for name in ["results.o", "anywhere.o"] {
        let object = dir.join(name);
        let count = compare(std::slice::from_ref(&object));
        assert_eq!(count.wrong, Vec::<String>::new());
        // Each of them is accepted, exists in process and says what it returns.
        let here = probity_objfile::open(name, &std::fs::read(&object).expect("a file"));
        let programs = here.expect("an object").programs.len();
        assert!(programs > 0);
        assert_eq!((count.ran, count.annotated), (programs, programs), "{name}");
    }
}

#[test]
fn selftests_return_what_they_say_here_and_in_linux() {
    let Some(dir) = std::env::var_os("PROBITY_SELFTESTS").map(PathBuf::from) else {
        println!("skipped: PROBITY_SELFTESTS names no directory of built selftests");
        return;
    };
    let files = std::fs::read_dir(&dir).expect("the directory").flatten();
    let mut files: Vec<PathBuf> = files.map(|f| f.path()).collect();
    files.retain(|f| f.extension().is_some_and(|x| x == "o"));
    files.sort();
    let count = compare(&files);
    assert!(count.ran > 0, "nothing in {} can be run", dir.display());
    assert!(count.wrong.is_empty(), "{}", count.wrong.join("\n"));
}

fn compare(files: &[PathBuf]) -> Count {
    let (platform, explained) = (in_process(), Explained::read());
    let machine = allowed().then(Machine::here);
    let mut count = Count::default();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let bytes = std::fs::read(file).expect("a file");
        let Ok(object) = probity_objfile::open(&name, &bytes) else {
            continue;
        };
        for program in &object.programs {
            if !inputs(program).is_empty() {
                let known = explained.has(&name, &program.name);
                one(
                    &platform,
                    machine.as_ref(),
                    &object,
                    program,
                    known,
                    &mut count,
                );
            }
        }
    }
    println!(
        "{} programs ran on both engines, {} as annotated; {} runs as in Linux, {} differences explained; {} depend on where they run",
        count.ran, count.annotated, count.agreed, count.explained, count.elsewhere
    );
    count
}

const XDP: u32 = 6;
const RAW_TRACEPOINT: u32 = 17;
const SYSCALL: u32 = 31;

/// What a run is given.
struct Input {
    packet: Vec<u8>,
    /// Words of context where there is no packet.
    words: usize,
}

impl Input {
    fn make(&self, kind: u32) -> Context {
        // Test runs are the loopback interface's.
        let loopback = |mut context: Context, at: usize| {
            context.write(at, &1u32.to_ne_bytes())?;
            Ok(context)
        };
        let context = match kind {
            XDP => Context::xdp(&self.packet).and_then(|c| loopback(c, 12)),
            _ if self.words == 0 => Context::skb(&self.packet).and_then(|c| loopback(c, 40)),
            _ => Context::words(&vec![0; self.words]),
        };
        context.expect("a context")
    }
}

/// Annotations are about the first. Nothing for programs that do not run by themselves.
fn inputs(program: &Program) -> Vec<Input> {
    let kind = program.hook.prog_type.map_or(0, |k| k.0);
    let mut ip = vec![0u8; 64];
    for (at, byte) in [(12, 8), (14, 0x45), (17, 50), (22, 64), (23, 6), (46, 0x50)] {
        ip[at] = byte;
    }
    let packet = |packet| Input { packet, words: 0 };
    match kind {
        // Socket filters, both directions of traffic control, and control groups.
        1 | 3 | 4 | XDP | 8 => vec![packet(vec![0; 64]), packet(ip)],
        RAW_TRACEPOINT | SYSCALL => vec![Input {
            packet: Vec::new(),
            words: 12,
        }],
        _ => Vec::new(),
    }
}

/// What the program's annotation says it returns, when that is a number.
fn annotation(object: &Object, program: &Program) -> Option<u32> {
    let btf = object.btf.as_deref()?;
    let main = program.subprogs.first()?.func?;
    let value = btf.tags_on(main).find_map(|tag| match btf.ty(tag)? {
        Type::DeclTag { value, .. } => value.split_once("test_retval=").map(|(_, v)| v),
        _ => None,
    })?;
    let (negative, digits) = match value.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    let number = match digits.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some(match negative {
        true => number.wrapping_neg(),
        false => number,
    })
}

fn one(
    platform: &Arc<Platform>,
    machine: Option<&Machine>,
    object: &Object,
    program: &Program,
    known: bool,
    count: &mut Count,
) {
    let what = format!("{}: {}", object.name, program.name);
    let alone = object.subset(|_, p| p.name == program.name);
    // Rejected, or in need of what is not there in process: others compare verdicts.
    let Ok(verified) = prove(platform, &alone) else {
        return;
    };
    let verified = Arc::new(verified);
    let index = verified
        .programs()
        .iter()
        .position(|p| p.name() == program.name);
    let made = index.and_then(|index| {
        let pair = Pair::with(verified.clone(), Lowerings::ALL).ok()?;
        let elsewhere = Instance::new(verified.clone(), other_surroundings()).ok()?;
        Some((index, pair, Interp::new(Arc::new(elsewhere))))
    });
    let Some((index, pair, elsewhere)) = made else {
        return;
    };
    let kind = program.hook.prog_type.unwrap_or(ProgType(0)).0;
    let wanted = annotation(object, program);
    let in_linux = machine.map(|m| load(m, &alone, &program.name, kind));
    let in_linux = match in_linux.transpose() {
        Ok(loaded) => loaded,
        Err(why) => {
            println!("not in Linux: {what}: {why}");
            None
        }
    };
    count.ran += 1;
    let mut sure = true;
    for (round, input) in inputs(program).iter().enumerate() {
        // Both contexts are there at once, so that they are at different places.
        let mut there = input.make(kind);
        let (i, j) = pair.call(index, &|| input.make(kind), 0);
        let apart = elsewhere.call(index, &mut there, 0);
        // What returns an address, or the time, has no result to compare; nor has what it leaves behind.
        sure &= i.result == apart.map(|o| o.ret).map_err(|f| f.to_string());
        if !sure {
            count.elsewhere += usize::from(round == 0);
            continue;
        }
        if i.result != j.result || i.packet != j.packet {
            let both = (i.result.clone(), j.result);
            count.wrong.push(format!("{what}: the engines: {both:x?}"));
        }
        let ours = i.result.map(|r| r as u32);
        let theirs = in_linux
            .as_ref()
            .and_then(|(_, l)| l.run(&vec![0; input.words], &input.packet).ok());
        if round == 0
            && let Some(wanted) = wanted
        {
            // Where Linux here returns something else too, the annotation is about another machine.
            if ours == Ok(wanted) {
                count.annotated += 1;
            } else if theirs.as_ref().is_some_and(|t| t.0 != wanted) {
                println!("not as annotated, here and in Linux: {what}: {ours:x?}");
            } else if theirs.as_ref().is_none_or(|t| t.0 == wanted) && !known {
                count
                    .wrong
                    .push(format!("{what}: {ours:x?} instead of {wanted:#x}"));
            }
        }
        let Some((ret, packet)) = theirs else {
            continue;
        };
        // What stands before a frame comes with it.
        let left = [i.metadata, i.packet.unwrap_or_default()].concat();
        let packets = kind != XDP || left == packet;
        if ours == Ok(ret) && packets {
            count.agreed += 1;
        } else if known {
            count.explained += 1;
        } else {
            let more = if packets { "" } else { ", and another packet" };
            count
                .wrong
                .push(format!("{what}: {ours:x?}, in Linux {ret:#x}{more}"));
        }
    }
}

/// Where nothing that programs can ask for is as it is in the others' surroundings.
fn other_surroundings() -> Options {
    let sample = Sample {
        monotonic_ns: 1_000_003,
        boot_ns: 2_000_003,
        tai_ns: 3_000_003,
        pid_tgid: 0x7_0000_0007,
        uid_gid: 0x3_0000_0003,
        comm: [b'x'; 16],
        cgroup_id: 5,
        attach_cookie: 9,
        func_ip: 11,
        mtus: vec![(1, 65536)],
        random: AtomicU64::new(0x7654_3210),
        ..Sample::default()
    };
    Options {
        cpus: 2,
        env: Arc::new(sample),
        ..Options::default()
    }
}

/// The program in Linux, and its maps, filled: tables of programs are emptied when nobody holds them.
fn load<'a>(
    machine: &'a Machine,
    object: &'a Object,
    name: &str,
    kind: u32,
) -> Result<(Session<'a>, Loaded), String> {
    let mut session = Session::new(machine, object)?;
    session.shared_arrays = true;
    let programs = &session.relocated().object.programs;
    let index = programs.iter().position(|p| p.name == name);
    let index = index.ok_or("it is not there")?;
    let main = programs[index].subprogs.first().map(|s| s.name.clone());
    let (fd, _) = session.descriptor(index, &main.unwrap_or_default())?;
    session.fill()?;
    Ok((session, Loaded::of(fd, kind)))
}
