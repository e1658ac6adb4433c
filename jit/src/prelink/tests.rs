use std::path::PathBuf;

use super::*;
use crate::tests::{instance, suite};

/// Directories that are gone at the end, each with a key of its own.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("prelink-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        Scratch(dir)
    }

    fn cache(&self, name: &str) -> Cache {
        Cache::open(self.0.join(name)).expect("a cache")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An image of the whole suite.
fn image(cache: &Cache) -> Vec<u8> {
    let collected = Prelinked::collect().expect("an image");
    for (name, verified) in suite() {
        let jit = Jit::with_prelinked(instance(&verified), &Options::default(), &collected);
        assert!(!jit.expect(&name).from_cache(), "{name}");
    }
    assert!(!collected.is_empty());
    collected.to_bytes(cache, b"beside")
}

#[test]
fn code_is_taken_from_the_image_for_the_same_proof_only() {
    let dir = Scratch::new("same");
    let cache = dir.cache("a");
    let bytes = image(&cache);
    let (opened, beside) = Prelinked::open(&bytes, &cache).expect("it is whole");
    assert_eq!(beside, b"beside");
    assert_eq!(*opened.made_for(), MadeFor::here().expect("this machine"));
    let all = suite();
    for (name, verified) in &all {
        let taken = Jit::with_prelinked(instance(verified), &Options::default(), &opened);
        let taken = taken.expect(name);
        assert!(taken.from_cache(), "{name}");
        let fresh = Jit::new(instance(verified)).expect(name);
        assert_eq!(taken.linked.extent().1, fresh.linked.extent().1, "{name}");
        // What decides code decides whether it is taken.
        let other = Options {
            optimise: false,
            ..Options::default()
        };
        let made = Jit::with_prelinked(instance(verified), &other, &opened).expect(name);
        assert!(!made.from_cache(), "{name}");
    }
    assert!(
        opened.len() <= all.len(),
        "nothing is added to what is opened"
    );
}

/// The digest is of the processor and the build too: with another one nothing is found, and what is compiled is this machine's.
#[test]
fn code_of_another_processor_or_version_is_not_taken() {
    let dir = Scratch::new("other");
    let cache = dir.cache("a");
    let bytes = image(&cache);
    let (opened, _) = Prelinked::open(&bytes, &cache).expect("it is whole");
    let moved = |(key, code): (Key, Vec<u8>)| (*blake3::hash(&key).as_bytes(), code);
    let pieces = std::mem::take(&mut *opened.lock());
    let elsewhere = Prelinked {
        pieces: Mutex::new(pieces.into_iter().map(moved).collect()),
        made_for: MadeFor {
            version: "0.0.1 (build 0)".into(),
            processor: "riscv64".into(),
        },
        collects: false,
    };
    let bytes = elsewhere.to_bytes(&cache, &[]);
    let (opened, _) = Prelinked::open(&bytes, &cache).expect("its own key");
    assert_ne!(*opened.made_for(), MadeFor::here().expect("this machine"));
    for (name, verified) in suite() {
        let made = Jit::with_prelinked(instance(&verified), &Options::default(), &opened);
        assert!(!made.expect(&name).from_cache(), "{name}");
    }
}

#[test]
fn a_changed_byte_or_another_key_and_nothing_of_it_is_used() {
    let dir = Scratch::new("changed");
    let cache = dir.cache("a");
    let whole = image(&cache);
    let refused = |bytes: &[u8], what: &str| match Prelinked::open(bytes, &cache) {
        Err(Error::Image(_)) => {}
        Err(e) => panic!("{what}: {e}"),
        Ok(_) => panic!("{what}: it is taken"),
    };
    let step = (whole.len() / 400).max(1);
    for at in (0..whole.len()).filter(|at| *at < 200 || at % step == 0) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        refused(&bytes, &format!("byte {at}"));
    }
    for len in (0..64).chain([whole.len() - 1]) {
        refused(&whole[..len], &format!("{len} bytes of it"));
    }
    refused(&[&whole[..], &[0]].concat(), "a byte more");
    assert!(matches!(
        Prelinked::open(&whole, &dir.cache("b")),
        Err(Error::Image(_))
    ));
    assert!(Prelinked::open(&whole, &dir.cache("a")).is_ok());
}

/// What has the right key and fits nothing all the same: there is no panic, and no memory beyond the bytes that are there.
#[test]
fn parts_that_do_not_fit_are_refused() {
    let dir = Scratch::new("parts");
    let cache = dir.cache("a");
    let sealed = |content: &[u8]| {
        let code = cache.seal(MAGIC, content);
        [&MAGIC[..], code.as_bytes(), content].concat()
    };
    let huge = [&u64::MAX.to_le_bytes()[..], b"x"].concat();
    let empty = [0; 24];
    let half = [&empty[..], &32u64.to_le_bytes(), &[7; 32]].concat();
    let odd = [&empty[..], &3u64.to_le_bytes(), b"key", &[0; 8]].concat();
    for content in [&b""[..], &huge, &empty[..23], &half, &odd] {
        assert!(matches!(
            Prelinked::open(&sealed(content), &cache),
            Err(Error::Image(_))
        ));
    }
    assert!(Prelinked::open(&sealed(&empty), &cache).is_ok());
}
