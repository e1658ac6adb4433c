use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::tests::{instance, suite};
use crate::{Jit, Options};

/// A new directory, gone at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let mut unique = [0; 8];
        random(&mut unique).expect("random numbers");
        let name = format!("probity-cache-{name}-{}", hex(&unique));
        Scratch(std::env::temp_dir().join(name))
    }

    fn mode(&self, file: &str, mode: u32) {
        let to = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.0.join(file), to).expect("a mode");
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.0).expect("a directory");
        let mut all: Vec<_> = entries.map(|e| e.expect("an entry").path()).collect();
        all.retain(|p| p.extension().is_some());
        all.sort();
        all
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_stored_is_found() {
    let dir = Scratch::new("found");
    let cache = Cache::open(&dir.0).expect("a cache");
    assert_eq!(cache.load(&[1; 32]), None);
    cache.store(&[1; 32], b"one").expect("stored");
    cache.store(&[1; 32], b"two").expect("stored again");
    assert_eq!(cache.load(&[1; 32]).as_deref(), Some(&b"two"[..]));
    let again = Cache::open(&dir.0).expect("the same");
    assert_eq!(again.load(&[1; 32]).as_deref(), Some(&b"two"[..]));
    assert_eq!(again.load(&[2; 32]), None);
}

#[test]
fn what_is_changed_renamed_or_of_another_key_is_not() {
    let dir = Scratch::new("changed");
    let cache = Cache::open(&dir.0).expect("a cache");
    cache.store(&[1; 32], b"content").expect("stored");
    let file = dir.files().pop().expect("a file");
    let whole = std::fs::read(&file).expect("bytes");
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&file, &bytes).expect("written");
        assert_eq!(cache.load(&[1; 32]), None, "byte {at}");
        std::fs::write(&file, &whole[..at]).expect("written");
        assert_eq!(cache.load(&[1; 32]), None, "{at} bytes");
    }
    std::fs::write(&file, &whole).expect("written");
    assert!(cache.load(&[1; 32]).is_some());
    std::fs::rename(&file, dir.0.join(hex(&[2; 32]) + SUFFIX)).expect("renamed");
    assert_eq!(cache.load(&[2; 32]), None);
    std::fs::rename(dir.0.join(hex(&[2; 32]) + SUFFIX), &file).expect("renamed");
    std::fs::write(dir.0.join("key"), [7; 32]).expect("another key");
    let other = Cache::open(&dir.0).expect("a cache");
    assert_eq!(other.load(&[1; 32]), None);
}

#[test]
fn what_others_may_use_is_refused() {
    let dir = Scratch::new("others");
    let cache = Cache::open(&dir.0).expect("a cache");
    cache.store(&[1; 32], b"content").expect("stored");
    let file = dir.files().pop().expect("a file");
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    for mode in [0o640, 0o606, 0o660] {
        dir.mode(&name, mode);
        assert_eq!(cache.load(&[1; 32]), None);
        dir.mode(&name, 0o600);
        dir.mode("key", mode);
        assert!(Cache::open(&dir.0).is_err());
        dir.mode("key", 0o600);
        dir.mode("", mode | 0o100);
        assert!(Cache::open(&dir.0).is_err());
        dir.mode("", 0o700);
    }
    assert!(cache.load(&[1; 32]).is_some());
    let second = dir.0.join("second.code");
    std::fs::hard_link(&file, &second).expect("a link");
    assert_eq!(cache.load(&[1; 32]), None, "a second name");
    std::fs::remove_file(&second).expect("removed");
    std::fs::rename(&file, &second).expect("moved");
    symlink(&second, &file).expect("a link");
    assert_eq!(cache.load(&[1; 32]), None, "a symbolic link");
    let link = Scratch::new("link");
    symlink(&dir.0, &link.0).expect("a link");
    assert!(Cache::open(&link.0).is_err(), "a link to a directory");
    let _ = std::fs::remove_file(&link.0);
    std::fs::write(dir.0.join("key"), [7; 31]).expect("a short key");
    assert!(Cache::open(&dir.0).is_err());
}

#[test]
fn the_longest_unused_go_first() {
    let dir = Scratch::new("bound");
    let each = 100 + HEADER as u64;
    let cache = Cache::open(&dir.0).expect("a cache");
    let cache = cache.with_limit(3 * each);
    let wait = || std::thread::sleep(std::time::Duration::from_millis(20));
    for n in 1..=3 {
        cache.store(&[n; 32], &[n; 100]).expect("stored");
        wait();
    }
    assert!(cache.load(&[1; 32]).is_some());
    wait();
    cache.store(&[4; 32], &[4; 100]).expect("stored");
    assert!(cache.load(&[1; 32]).is_some(), "it was used");
    assert_eq!(cache.load(&[2; 32]), None);
    assert!(cache.load(&[3; 32]).is_some() && cache.load(&[4; 32]).is_some());
    assert_eq!(dir.files().len(), 3);
    assert!(cache.store(&[5; 32], &[0; 400]).is_err(), "larger than all");
}

#[test]
fn the_second_start_takes_its_code_from_there_and_computes_the_same() {
    let dir = Scratch::new("start");
    let cache = Cache::open(&dir.0).expect("a cache");
    let options = Options::default();
    for (name, verified) in suite() {
        let first = Jit::with_cache(instance(&verified), &options, &cache).expect("code");
        let second = Jit::with_cache(instance(&verified), &options, &cache).expect("code");
        assert!(!first.from_cache() && second.from_cache(), "{name}");
        let plain = Options {
            optimise: false,
            ..Options::default()
        };
        let other = Jit::with_cache(instance(&verified), &plain, &cache).expect("code");
        assert!(!other.from_cache(), "{name}: other options, other code");
        for file in dir.files() {
            std::fs::write(file, b"PROBJIT1").expect("written");
        }
        let third = Jit::with_cache(instance(&verified), &options, &cache).expect("code");
        assert!(!third.from_cache(), "{name}: damaged");
        let fourth = Jit::with_cache(instance(&verified), &options, &cache).expect("code");
        assert!(fourth.from_cache(), "{name}: repaired");
    }
}
