//! What the suites share: where the programs are, what a file's marks expect, and the kernel as an oracle.

pub mod agree;
pub mod arrays;
pub mod containment;
pub mod engines;
pub mod families;
pub mod fuzzing;
pub mod generate;
pub mod linux;
pub mod marks;
pub mod shrink;

pub use probity_loader::kernel;

use std::path::{Path, PathBuf};

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// Every file below `programs/DIR` with that extension, sorted. `unsafe` is left out unless asked for, and so are `hosts`,
/// whose extensions are not for Linux, and `functions`, which are for scripts to call.
pub fn programs(dir: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join("programs").join(dir)];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            let apart = |name: &str| path.ends_with(name) && dir != name;
            if path.is_dir() && !["unsafe", "hosts", "functions"].into_iter().any(apart) {
                open.push(path);
            } else if path.extension().is_some_and(|x| x == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// May this test pass without the kernel? Where root runs the whole suite it may not.
pub fn skip(why: &str) {
    assert!(
        std::env::var_os("PROBITY_REQUIRE_KERNEL").is_none(),
        "the kernel is required here (PROBITY_REQUIRE_KERNEL), but {why}"
    );
    println!("skipped: {why}");
}
