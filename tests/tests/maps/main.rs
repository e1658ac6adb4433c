//! Maps in process and maps of the running kernel, under the same operations: results to the error number, and contents.
//!
//! `system_calls.rs` is the host's side, `programs.rs` the programs', on both engines; `nested.rs` is about maps of maps, `lru.rs`
//! about what LRU maps keep, `packets.rs` about helpers that change packets, `graph.rs` about structures that programs allocate.
//! The seed is printed; `TEST_SEED` takes it back, `TEST_OPERATIONS` says how many for each kind.

mod graph;
mod lru;
mod nested;
mod objects;
mod packets;
mod programs;
mod system_calls;

use std::sync::Arc;

use probity_objfile::Object;
use probity_platform::{Platform, Policy};
use probity_runtime::platform;
use probity_verifier::{Verdict, Verified, verify};

/// A small generator.
struct Random(u64);

impl Random {
    fn seeded() -> Random {
        let seed = std::env::var("TEST_SEED").ok().and_then(|s| s.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(1, |d| d.as_nanos() as u64)
        });
        println!("TEST_SEED={seed}");
        Random(seed)
    }
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.word() % n
    }
    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

fn operations() -> u64 {
    let asked = std::env::var("TEST_OPERATIONS").ok();
    asked.and_then(|s| s.parse().ok()).unwrap_or(1500)
}

/// A map to compare: kind by name, sizes, entries, flags.
#[derive(Clone, Copy, Debug)]
struct Case {
    kind: &'static str,
    key: u32,
    value: u32,
    entries: u32,
    flags: u32,
}

const NO_PREALLOC: u32 = 1;

const fn case(kind: &'static str, key: u32, value: u32, entries: u32) -> Case {
    Case {
        kind,
        key,
        value,
        entries,
        flags: 0,
    }
}

const CASES: &[Case] = &[
    case("array", 4, 8, 5),
    case("array", 4, 16, 3),
    case("percpu_array", 4, 8, 4),
    case("hash", 4, 8, 8),
    case("hash", 8, 16, 5),
    case("hash", 16, 8, 8),
    case("hash", 12, 8, 3),
    Case {
        flags: NO_PREALLOC,
        ..case("hash", 4, 8, 7)
    },
    case("percpu_hash", 4, 8, 5),
    // Never full, as what goes then is for each side to choose.
    case("lru_hash", 4, 8, 1024),
    case("lru_percpu_hash", 4, 8, 1024),
    Case {
        flags: NO_PREALLOC,
        ..case("lpm_trie", 8, 8, 6)
    },
    case("queue", 0, 8, 4),
    case("stack", 0, 16, 4),
    case("bloom_filter", 0, 8, 16),
];

impl Case {
    /// The line that defines it.
    fn line(&self, name: &str) -> String {
        let Case {
            kind,
            key,
            value,
            entries,
            flags,
        } = self;
        let key = if *key == 0 {
            String::new()
        } else {
            format!(" key={key}")
        };
        format!(".map {name} kind={kind}{key} value={value} max_entries={entries} flags={flags}\n")
    }

    fn is(&self, kinds: &[&str]) -> bool {
        kinds.contains(&self.kind)
    }

    fn keyless(&self) -> bool {
        self.key == 0
    }

    /// One of few keys, so that they meet.
    fn key(&self, r: &mut Random) -> Vec<u8> {
        if self.kind == "lpm_trie" {
            let bits = r.of(&[0u32, 7, 8, 9, 16, 24, 31, 32, 33]);
            let data = [r.of(&[10u8, 11, 138]), r.of(&[0, 128]), r.of(&[0, 1]), 7];
            return [&bits.to_ne_bytes()[..], &data].concat();
        }
        let n = r.below(u64::from(self.entries.min(8)) + 3);
        let mut key = n.to_ne_bytes().repeat(3);
        key.truncate(self.key as usize);
        key
    }

    fn value(&self, r: &mut Random) -> Vec<u8> {
        let n = if self.kind == "bloom_filter" {
            r.below(64)
        } else {
            r.word()
        };
        n.to_ne_bytes().repeat(self.value as usize / 8)
    }

    fn flags(&self, r: &mut Random) -> u64 {
        r.of(&[0, 0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 8, 1 << 32, u64::MAX])
    }
}

fn in_process() -> Arc<Platform> {
    Arc::new(platform(None))
}

fn prove(platform: &Arc<Platform>, text: &str) -> Arc<Verified> {
    prove_with(platform, text, |_| {})
}

/// What a change makes of assembled text, which has no way to say everything of maps.
fn prove_with(
    platform: &Arc<Platform>,
    text: &str,
    change: impl FnOnce(&mut Object),
) -> Arc<Verified> {
    let helper = |name: &str| {
        let name = name.strip_prefix("bpf_").unwrap_or(name);
        let mut rows = platform.helpers.iter();
        rows.find(|h| h.name == name).map(|h| h.id)
    };
    let mut object =
        probity_objfile::assemble("maps", text, &helper).unwrap_or_else(|e| panic!("{e}\n{text}"));
    change(&mut object);
    let options = probity_verifier::Options::default();
    let report = verify(&object, platform, &Policy::default(), &options).expect("a report");
    for p in &report.programs {
        if let Verdict::Reject(why) = &p.verdict {
            panic!("{why}\n{text}");
        }
    }
    match report.into_verified() {
        Ok(verified) => Arc::new(verified),
        Err(_) => panic!("no proof\n{text}"),
    }
}
