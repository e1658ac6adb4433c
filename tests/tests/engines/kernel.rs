//! Linux's own engine (`BPF_PROG_TEST_RUN`) gives what ours give.
//!
//! Skipped without the right to load programs, unless `PROBITY_REQUIRE_KERNEL=1`.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use probity_verifier::VerifiedProgram;

use crate::harness::{Left, Pair, assemble, context, in_process, prove};
use crate::random::{Rng, program};

const MAP_CREATE: i64 = 0;
const MAP_LOOKUP: i64 = 1;
const MAP_UPDATE: i64 = 2;
const MAP_NEXT_KEY: i64 = 4;
const PROG_LOAD: i64 = 5;
const TEST_RUN: i64 = 10;
const MAP_FREEZE: i64 = 22;

/// `union bpf_attr`, filled by offset.
#[derive(Clone)]
struct Attr([u64; 18]);

impl Attr {
    fn new() -> Attr {
        Attr([0; 18])
    }
    fn u32(mut self, at: usize, v: u32) -> Attr {
        let shift = at % 8 * 8;
        let word = &mut self.0[at / 8];
        *word = *word & !(0xffff_ffff << shift) | u64::from(v) << shift;
        self
    }
    fn u64(mut self, at: usize, v: u64) -> Attr {
        self.0[at / 8] = v;
        self
    }
    fn get32(&self, at: usize) -> u32 {
        (self.0[at / 8] >> (at % 8 * 8)) as u32
    }
    fn call(&mut self, command: i64) -> std::io::Result<i64> {
        // SAFETY: every pointer put into the attributes outlives the call and has the size that the command expects.
        let r = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command,
                self.0.as_mut_ptr(),
                size_of_val(&self.0),
            )
        };
        if r < 0 {
            Err(std::io::Error::last_os_error())
        } else {
            Ok(r)
        }
    }
    fn fd(&mut self, command: i64) -> std::io::Result<OwnedFd> {
        let fd = self.call(command)?;
        // SAFETY: the command gave a new descriptor.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }
}

/// A program in Linux, with its maps.
pub struct Loaded {
    program: OwnedFd,
    maps: Vec<Option<(OwnedFd, probity_objfile::Map)>>,
    kind: u32,
}

pub fn load(pair: &Pair, p: &VerifiedProgram) -> std::io::Result<Loaded> {
    let object = &pair.jit.instance().verified().relocated().object;
    let mut maps = Vec::new();
    for m in &object.maps {
        let mut attr = Attr::new()
            .u32(0, m.kind)
            .u32(4, m.key_size)
            .u32(8, m.value_size)
            .u32(12, m.max_entries)
            .u32(16, m.flags);
        let fd = attr.fd(MAP_CREATE)?;
        if let Some(data) = &m.data {
            let key = 0u32;
            let mut value = data.bytes.clone();
            value.resize(m.value_size as usize, 0);
            Attr::new()
                .u32(0, fd.as_raw_fd() as u32)
                .u64(8, &raw const key as u64)
                .u64(16, value.as_ptr() as u64)
                .call(MAP_UPDATE)?;
            if data.kind == probity_objfile::DataKind::Rodata {
                Attr::new().u32(0, fd.as_raw_fd() as u32).call(MAP_FREEZE)?;
            }
        }
        maps.push(Some((fd, m.clone())));
    }
    let fds: Vec<i32> = maps
        .iter()
        .map(|m| m.as_ref().map_or(-1, |m| m.0.as_raw_fd()))
        .collect();
    let insns = probity_isa::to_bytes(p.raw());
    let mut log = vec![0u8; 1 << 20];
    let mut attr = Attr::new()
        .u32(0, p.prog_type().0)
        .u32(4, p.raw().len() as u32)
        .u64(8, insns.as_ptr() as u64)
        .u64(16, c"GPL".as_ptr() as u64)
        .u32(24, 1)
        .u32(28, log.len() as u32)
        .u64(32, log.as_mut_ptr() as u64)
        .u64(120, fds.as_ptr() as u64);
    let program = attr.fd(PROG_LOAD).map_err(|e| {
        let text = String::from_utf8_lossy(&log);
        let text = text.trim_end_matches('\0');
        let tail: Vec<&str> = text.lines().rev().take(4).collect();
        std::io::Error::new(e.kind(), format!("{e}: {tail:?}"))
    })?;
    Ok(Loaded {
        program,
        maps,
        kind: p.prog_type().0,
    })
}

impl Loaded {
    /// The return value and the packet as it is afterwards.
    pub fn run(&self, words: &[u64], packet: &[u8]) -> std::io::Result<(u32, Vec<u8>)> {
        let mut out = vec![0u8; packet.len() + 512];
        let mut attr = Attr::new().u32(0, self.program.as_raw_fd() as u32);
        if self.kind == 17 {
            // Raw tracepoints take words, and a CPU to run on.
            attr = attr
                .u32(40, size_of_val(words) as u32)
                .u64(48, words.as_ptr() as u64)
                .u32(64, 1);
        } else {
            attr = attr
                .u32(8, packet.len() as u32)
                .u32(12, out.len() as u32)
                .u64(16, packet.as_ptr() as u64)
                .u64(24, out.as_mut_ptr() as u64)
                .u32(32, 1);
        }
        attr.call(TEST_RUN)?;
        out.truncate(attr.get32(12) as usize);
        Ok((attr.get32(4), out))
    }

    /// Entries of a map that is not per-CPU, sorted.
    fn entries(&self, name: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some((fd, m)) = self.maps.iter().flatten().find(|m| m.1.name == name) else {
            return Vec::new();
        };
        let mut out = Vec::new();
        let mut key: Option<Vec<u8>> = None;
        loop {
            let mut next = vec![0u8; m.key_size as usize];
            let more = Attr::new()
                .u32(0, fd.as_raw_fd() as u32)
                .u64(8, key.as_ref().map_or(0, |k| k.as_ptr() as u64))
                .u64(16, next.as_mut_ptr() as u64)
                .call(MAP_NEXT_KEY);
            if more.is_err() {
                break;
            }
            let mut value = vec![0u8; m.value_size as usize];
            let found = Attr::new()
                .u32(0, fd.as_raw_fd() as u32)
                .u64(8, next.as_ptr() as u64)
                .u64(16, value.as_mut_ptr() as u64)
                .call(MAP_LOOKUP);
            if found.is_ok() {
                out.push((next.clone(), value));
            }
            key = Some(next);
        }
        out.sort();
        out
    }
}

/// Whether programs can be loaded here; a test that must not be skipped fails instead.
pub fn allowed() -> bool {
    let made = Attr::new()
        .u32(0, 2)
        .u32(4, 4)
        .u32(8, 8)
        .u32(12, 1)
        .fd(MAP_CREATE);
    match made {
        Ok(_) => true,
        Err(e) => {
            let required = std::env::var("PROBITY_REQUIRE_KERNEL").is_ok_and(|v| v == "1");
            assert!(!required, "the kernel does not take maps: {e}");
            println!("skipped: the kernel does not take maps: {e}");
            false
        }
    }
}

fn plain(left: &Left, name: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let entries = left.maps.iter().find(|m| m.0 == name);
    let entries = entries.map(|m| m.1.clone()).unwrap_or_default();
    entries
        .into_iter()
        .map(|(k, v)| (k, v.unwrap_or_default().concat()))
        .collect()
}

#[test]
fn linux_gives_the_same_on_random_programs() {
    if !allowed() {
        return;
    }
    let platform = in_process();
    let mut rng = Rng::seeded("linux_gives_the_same_on_random_programs");
    let (mut runs, mut refused) = (0, 0);
    for n in 0..80 {
        let text = program(&mut rng, true);
        let object = assemble(&platform, "random", &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let Ok(verified) = prove(&platform, &object) else {
            continue;
        };
        let pair = Pair::new(verified).unwrap_or_else(|e| panic!("program {n}: {e}\n{text}"));
        let verified = pair.jit.instance().programs()[0].verified().clone();
        let loaded = match load(&pair, &verified) {
            Ok(loaded) => loaded,
            Err(e) => {
                println!("program {n} is refused by Linux: {e}");
                refused += 1;
                continue;
            }
        };
        for _ in 0..6 {
            let words: Vec<u64> = (0..8).map(|_| rng.word()).collect();
            let (i, j) = pair.call(0, &|| context(17, &words, &[]), 0);
            assert_eq!(i, j, "program {n}, {words:x?}\n{text}");
            let (ret, _) = loaded
                .run(&words, &[])
                .unwrap_or_else(|e| panic!("test run: {e}"));
            let ours = i.result.clone().map(|r| r as u32);
            assert_eq!(ours, Ok(ret), "program {n}, {words:x?}\n{text}");
            for map in ["state", "table"] {
                assert_eq!(
                    plain(&i, map),
                    loaded.entries(map),
                    "program {n}, {map}, {words:x?}\n{text}"
                );
            }
            runs += 1;
        }
    }
    println!("{runs} runs; {refused} programs refused by Linux");
    assert!(runs > 100);
}

#[test]
fn linux_gives_the_same_on_objects() {
    if !allowed() {
        return;
    }
    let platform = in_process();
    let mut rng = Rng::seeded("linux_gives_the_same_on_objects");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../programs");
    let mut runs = 0;
    for dir in std::fs::read_dir(root).expect("programs").flatten() {
        let name = dir.file_name().to_string_lossy().into_owned();
        let Ok(bytes) = std::fs::read(dir.path().join(format!("{name}.o"))) else {
            continue;
        };
        let object = probity_objfile::open(&name, &bytes).expect("an object");
        let Ok(Ok(pair)) = prove(&platform, &object).map(Pair::new) else {
            continue;
        };
        for (index, p) in pair.jit.instance().programs().iter().enumerate() {
            // XDP, tc, socket filter: those that Linux can be asked to run on a packet.
            if !matches!(p.verified().prog_type().0, 1 | 3 | 6) {
                continue;
            }
            let loaded = match load(&pair, p.verified()) {
                Ok(loaded) => loaded,
                Err(e) => {
                    println!("not run: {name}: {}: {e}", p.name());
                    continue;
                }
            };
            for _ in 0..40 {
                let mut packet = crate::objects::packet(&mut rng);
                // Linux takes no packet without an Ethernet header, and sk_buffs of a known protocol only.
                packet.resize(packet.len().max(64), 0);
                let kind = p.verified().prog_type().0;
                let (i, j) = pair.call(index, &|| context(kind, &[], &packet), 0);
                assert_eq!(i, j, "{name}: {packet:02x?}");
                let (ret, out) = loaded
                    .run(&[], &packet)
                    .unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!(
                    i.result.clone().map(|r| r as u32),
                    Ok(ret),
                    "{name}: {packet:02x?}"
                );
                if kind == 6 {
                    assert_eq!(i.packet.as_deref(), Some(&out[..]), "{name}: {packet:02x?}");
                }
                runs += 1;
            }
        }
    }
    println!("{runs} runs of objects");
    assert!(runs > 0, "no object could be compared");
}
