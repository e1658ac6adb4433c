//! The objects of `programs/` leave the same behind on both engines.

use std::path::Path;

use crate::harness::{Pair, context, in_process, prove};
use crate::random::Rng;

#[test]
fn objects_run_the_same_on_both_engines() {
    let platform = in_process();
    let mut rng = Rng::seeded("objects_run_the_same_on_both_engines");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../programs");
    let (mut runs, mut objects) = (0, 0);
    let mut dirs: Vec<_> = std::fs::read_dir(root)
        .expect("programs")
        .flatten()
        .map(|d| d.path())
        .collect();
    dirs.sort();
    for dir in dirs {
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let Ok(bytes) = std::fs::read(dir.join(format!("{name}.o"))) else {
            continue;
        };
        let object = probity_objfile::open(&name, &bytes).expect("an object");
        let verified = match prove(&platform, &object) {
            Ok(v) => v,
            Err(e) => {
                println!("not run: {name}: {e}");
                continue;
            }
        };
        let kinds: Vec<u32> = verified
            .programs()
            .iter()
            .map(|p| p.prog_type().0)
            .collect();
        let pair = match Pair::new(verified) {
            Ok(pair) => pair,
            Err(e) => {
                println!("not run: {name}: {e}");
                continue;
            }
        };
        objects += 1;
        for round in 0..60 {
            for (index, kind) in kinds.iter().enumerate() {
                let words: Vec<u64> = (0..256)
                    .map(|_| if round == 0 { 0 } else { rng.word() })
                    .collect();
                let packet = packet(&mut rng);
                let (i, j) = pair.call(index, &|| context(*kind, &words, &packet), round % 2);
                assert!(i.result.is_ok(), "{name}: {i:x?}");
                assert_eq!(i, j, "{name}, program {index}, packet {packet:02x?}");
                runs += 1;
            }
        }
    }
    println!("{runs} runs of {objects} objects");
    assert!(runs >= 60 * objects && objects > 0);
}

/// Something like IPv4 or IPv6 over Ethernet, often cut short.
pub fn packet(rng: &mut Rng) -> Vec<u8> {
    let mut p: Vec<u8> = (0..rng.below(120)).map(|_| rng.next() as u8).collect();
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(to) = p.get_mut(at..at + bytes.len()) {
            to.copy_from_slice(bytes);
        }
    };
    match rng.below(4) {
        0 => put(12, &[0x86, 0xdd, 0x60]),
        1 => put(12, &[0x81, 0, 0, 5, 8, 0, 0x45]),
        _ => put(12, &[8, 0, 0x45]),
    }
    put(23, &[[6, 17, 1, 58][rng.below(4)]]);
    put(20, &[6]);
    let port = [80u16, 443, 22, 53][rng.below(4)];
    put(36, &port.to_be_bytes());
    p
}
