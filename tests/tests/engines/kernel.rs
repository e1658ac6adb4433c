//! Linux's own engine (`BPF_PROG_TEST_RUN`) gives what ours give.
//!
//! Skipped without the right to load programs, unless `PROBITY_REQUIRE_KERNEL=1`.

use probity_tests::linux::{Loaded, Table, allowed};
use probity_verifier::VerifiedProgram;

use crate::harness::{Left, Pair, assemble, context, in_process, prove};
use crate::random::{Rng, program};

/// A program in Linux, with its maps.
pub struct InLinux {
    program: Loaded,
    maps: Vec<(String, Table)>,
}

pub fn load(pair: &Pair, p: &VerifiedProgram) -> Result<InLinux, String> {
    let maps = &pair.jit.instance().verified().relocated().object.maps;
    let tables = Table::all(maps).map_err(|e| e.to_string())?;
    Ok(InLinux {
        program: Loaded::new(p, &tables)?,
        maps: maps.iter().map(|m| m.name.clone()).zip(tables).collect(),
    })
}

impl InLinux {
    /// The return value and the packet as it is afterwards.
    pub fn run(&self, words: &[u64], packet: &[u8]) -> std::io::Result<(u32, Vec<u8>)> {
        self.program.run(words, packet)
    }

    /// Entries of a map that is not per-CPU, sorted.
    fn entries(&self, name: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some((_, table)) = self.maps.iter().find(|m| m.0 == name) else {
            return Vec::new();
        };
        let entry = |key: Vec<u8>| table.lookup(&key, 0).ok().map(|value| (key, value));
        table.keys().into_iter().filter_map(entry).collect()
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

#[test]
fn linux_gives_the_same_in_an_arena() {
    /// Where Linux puts the arena for the host: its low half is what it is in process.
    const ADDRESS: u64 = 1 << 44 | 64 << 10;
    if !allowed() {
        return;
    }
    let platform = in_process();
    let text = include_str!("../../engine/arena.s");
    let mut object = assemble(&platform, "arena", text).unwrap_or_else(|e| panic!("{e}"));
    object.maps[0].map_extra = ADDRESS;
    let verified = prove(&platform, &object).unwrap_or_else(|e| panic!("{e}"));
    let pair = Pair::new(verified).unwrap_or_else(|e| panic!("{e}"));
    let loaded = load(&pair, pair.jit.instance().programs()[0].verified());
    let loaded = loaded.unwrap_or_else(|e| panic!("{e}"));
    let mut rng = Rng::seeded("linux_gives_the_same_in_an_arena");
    for _ in 0..20 {
        let words = [rng.word()];
        let (i, j) = pair.call(0, &|| context(31, &words, &[]), 0);
        assert_eq!(i, j, "{words:x?}");
        let (ret, _) = loaded.run(&words, &[]).expect("a test run");
        assert_eq!(i.result.map(|r| r as u32), Ok(ret), "{words:x?}");
    }
}
