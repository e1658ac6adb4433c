//! A path with wildcards → the files that it means; the files that processes run.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use probity_script::probes::{is_pattern, matches};

/// Files that one pattern may mean.
const MOST_FILES: usize = 10_000;

/// The files that match, each once, by name. A wildcard stands for names in one directory.
pub fn matching(pattern: &str) -> Vec<String> {
    let start = if pattern.starts_with('/') { "/" } else { "." };
    let mut found = vec![PathBuf::from(start)];
    for part in pattern.split('/').filter(|p| !p.is_empty()) {
        let mut next = Vec::new();
        for directory in &found {
            if !is_pattern(part) {
                next.push(directory.join(part));
                continue;
            }
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            let names = entries.map(|e| e.file_name().to_string_lossy().into_owned());
            let wanted = names.filter(|n| part.starts_with('.') || !n.starts_with('.'));
            let mut fitting: Vec<String> = wanted.filter(|n| matches(part, n)).collect();
            crate::sorted::by(&mut fitting, Ord::cmp);
            next.extend(fitting.into_iter().map(|n| directory.join(n)));
        }
        next.truncate(MOST_FILES);
        found = next;
    }
    once(found.into_iter().filter(|p| p.is_file()))
}

/// The programs and libraries that a process has in memory to run them, or all processes have.
pub fn run(pid: Option<u32>) -> Vec<String> {
    let processes = match pid {
        Some(pid) => vec![pid],
        None => {
            let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
            let mut all: Vec<u32> = entries
                .filter_map(|e| e.file_name().to_str()?.parse().ok())
                .collect();
            crate::sorted::by(&mut all, Ord::cmp);
            all
        }
    };
    let mut paths = BTreeSet::new();
    for pid in processes {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        for path in maps.lines().filter_map(executable) {
            let here = PathBuf::from(path);
            // In a container the same path may be another file.
            let there = PathBuf::from(format!("/proc/{pid}/root{path}"));
            let same = identity(&here).is_some() && identity(&here) == identity(&there);
            paths.insert(if same { here } else { there });
        }
    }
    once(paths.into_iter().filter(|p| p.is_file()))
}

/// `ADDRESSES PERMISSIONS OFFSET DEVICE INODE PATH`: the path of what is run.
fn executable(line: &str) -> Option<&str> {
    let permissions = line.split_whitespace().nth(1)?;
    let path = &line[line.find('/').filter(|at| *at > 40)?..];
    (permissions.contains('x') && !path.ends_with(" (deleted)")).then_some(path)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let about = fs::metadata(path).ok()?;
    Some((about.dev(), about.ino()))
}

/// Without further names of a file that is there already.
fn once(paths: impl Iterator<Item = PathBuf>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    paths
        .filter(|p| identity(p).is_some_and(|id| seen.insert(id)))
        .take(MOST_FILES)
        .map(|p| p.display().to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{executable, matching, run};

    #[test]
    fn wildcards_in_directories_and_names() {
        let own = std::env::current_exe().expect("this program");
        let name = own.file_name().unwrap().to_string_lossy().into_owned();
        let parent = own.parent().unwrap().display().to_string();
        let cut = &name[..name.len() - 1];
        assert!(matching(&format!("{parent}/{cut}?")).contains(&own.display().to_string()));
        assert!(matching(&format!("{parent}/{cut}?-none")).is_empty());
        assert!(matching("/none/*").is_empty());
        // A directory is no file.
        assert!(
            matching("/*")
                .iter()
                .all(|p| std::path::Path::new(p).is_file())
        );
    }

    #[test]
    fn what_this_process_runs() {
        let own = std::env::current_exe().unwrap().canonicalize().unwrap();
        let files = run(Some(std::process::id()));
        let is_own = |p: &String| {
            std::path::Path::new(p)
                .canonicalize()
                .is_ok_and(|p| p == own)
        };
        assert!(files.iter().any(is_own), "{files:?}");
        assert!(files.iter().any(|p| p.contains("libc")), "{files:?}");
    }

    #[test]
    fn lines_of_maps() {
        let line = |permissions: &str, path: &str| {
            format!("7f2c00000000-7f2c00001000 {permissions} 00000000 08:01 1234     {path}")
        };
        assert_eq!(executable(&line("r-xp", "/bin/a b")), Some("/bin/a b"));
        assert_eq!(executable(&line("r--p", "/bin/a")), None);
        assert_eq!(executable(&line("r-xp", "/bin/a (deleted)")), None);
        assert_eq!(executable(&line("r-xp", "[vdso]")), None);
        assert_eq!(executable(""), None);
    }
}
