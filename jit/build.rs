//! Digests the sources that decide what compiled code is, so that code of another build is not taken from a cache.

use std::path::Path;

/// Beside this crate: what code calls, the layouts it reads, the rows it is compiled from.
const SOURCES: &[&str] = &["src", "../runtime/src", "../platform/src", "../isa/src"];

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let mut digest = Fnv(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
    for source in SOURCES {
        let path = Path::new(&root).join(source);
        println!("cargo::rerun-if-changed={}", path.display());
        digest.directory(&path);
    }
    println!("cargo::rustc-env=PROBITY_JIT_BUILD={:032x}", digest.0);
}

/// FNV-1a in 128 bits: nobody attacks one's own build.
struct Fnv(u128);

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        for b in bytes.iter().chain(&[0xff]) {
            self.0 = (self.0 ^ u128::from(*b)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
        }
    }

    fn directory(&mut self, path: &Path) {
        let Ok(entries) = std::fs::read_dir(path) else {
            return;
        };
        let mut paths: Vec<_> = entries.flatten().map(|e| e.path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                self.directory(&path);
            } else if let Ok(text) = std::fs::read(&path) {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                self.bytes(name.as_bytes());
                self.bytes(&text);
            }
        }
    }
}
