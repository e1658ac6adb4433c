//! A crate depends only on crates above it in ARCHITECTURE.md's table.

use std::path::Path;

const ORDER: &[&str] = &[
    "isa", "btf", "domains", "objfile", "platform", "verifier", "runtime", "interp", "jit",
    "loader", "script", "bundle", "store", "host", "peers", "cli",
];

#[test]
fn crates_depend_on_what_stands_above_them() {
    let root = probity_tests::root();
    let mut wrong = Vec::new();
    for (n, name) in ORDER.iter().enumerate() {
        let manifest = std::fs::read_to_string(root.join(name).join("Cargo.toml")).unwrap();
        let dependencies = manifest
            .split("\n[")
            .filter(|part| part.starts_with("dependencies]"))
            .flat_map(|part| part.lines().skip(1))
            .filter_map(|line| line.strip_prefix("probity-")?.split([' ', '.', '=']).next());
        for dependency in dependencies {
            // Macros of a crate stand in its own directory.
            if dependency == format!("{name}-derive") {
                continue;
            }
            let at = ORDER.iter().position(|o| *o == dependency);
            if at.is_none_or(|at| at >= n) {
                wrong.push(format!("{name} depends on {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "against the order {ORDER:?}: {wrong:?}");
}

#[test]
fn the_architecture_names_every_crate_in_that_order() {
    let text = std::fs::read_to_string(probity_tests::root().join("ARCHITECTURE.md")).unwrap();
    let section = text
        .split("\n## ")
        .find(|s| s.starts_with("Crates"))
        .unwrap();
    let rows: Vec<&str> = section
        .lines()
        .filter_map(|l| l.strip_prefix("| `")?.split('`').next())
        .filter(|name| ORDER.contains(name))
        .collect();
    assert_eq!(rows, ORDER);
}

#[test]
fn unsafe_lives_where_the_architecture_says() {
    let root = probity_tests::root();
    for name in ORDER
        .iter()
        .filter(|n| !["runtime", "jit", "loader", "host", "peers"].contains(n))
    {
        let mut open = vec![root.join(name).join("src")];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(&directory).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    open.push(path);
                } else if path.extension().is_some_and(|x| x == "rs") {
                    assert!(!has_unsafe(&path), "{} holds unsafe code", path.display());
                }
            }
        }
    }
}

fn has_unsafe(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|l| l.split("//").next().unwrap_or(""))
        .any(|l| {
            let words: Vec<&str> = l.split_whitespace().collect();
            words
                .windows(2)
                .any(|w| w[0] == "unsafe" && (w[1].starts_with('{') || w[1] == "fn"))
        })
}
