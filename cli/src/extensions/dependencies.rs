//! A package × packages in directories × what is loaded → what is to be loaded, in order, dependencies first.
//!
//! **Invariant:** what is found this way is only a proposal: it is judged and verified like the package that wants it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use probity_bundle::Package;
use probity_host::status;
use semver::{Version, VersionReq};

use super::Refused;

/// Versions of what is loaded, by name; `None` for what has none.
pub type Loaded = BTreeMap<String, Option<Version>>;

/// The package and what it depends on, as far as that is not loaded, in the order in which it is to be loaded.
pub fn order(package: Package, directories: &[PathBuf], loaded: &Loaded) -> Result<Vec<Package>> {
    let mut search = Search {
        directories,
        found: None,
        loaded,
        order: Vec::new(),
        open: Vec::new(),
    };
    search.add(package)?;
    Ok(search.order)
}

struct Search<'a> {
    directories: &'a [PathBuf],
    /// Packages of the directories, read when the first is missing.
    found: Option<Vec<Package>>,
    loaded: &'a Loaded,
    order: Vec<Package>,
    /// Names of packages that what is looked at now is a dependency of.
    open: Vec<String>,
}

impl Search<'_> {
    fn add(&mut self, package: Package) -> Result<()> {
        let m = package.manifest();
        self.open.push(m.name.clone());
        for (name, range) in m.dependencies.clone() {
            if self.open.contains(&name) {
                let circle = self.open.join(" → ");
                let why = format!("{circle} → {name} depend on each other in a circle");
                return Err(Refused::error(why, status::DEPENDENCIES));
            }
            let will_be = self.order.iter().any(|p| p.manifest().name == name);
            // Whether its version will do is told by whoever loads.
            if will_be || self.loaded.contains_key(&name) {
                continue;
            }
            let Some(found) = self.find(&name, &range) else {
                let wanting = &package.manifest().name;
                let why = format!(
                    "`{wanting}` depends on `{name}` {range}, which is not loaded, and no package of it is in {}",
                    self.shown()
                );
                return Err(Refused::error(why, status::DEPENDENCIES));
            };
            self.add(found)?;
        }
        self.open.pop();
        self.order.push(package);
        Ok(())
    }

    /// The highest version that will do.
    fn find(&mut self, name: &str, range: &VersionReq) -> Option<Package> {
        let directories = self.directories;
        let all = self.found.get_or_insert_with(|| read(directories));
        let mut fit: Vec<&Package> = all
            .iter()
            .filter(|p| p.manifest().name == name && range.matches(&p.manifest().version))
            .collect();
        crate::sorted::by(&mut fit, |a, b| {
            a.manifest().version.cmp(&b.manifest().version)
        });
        fit.last().map(|p| (*p).clone())
    }

    fn shown(&self) -> String {
        let all: Vec<String> = self
            .directories
            .iter()
            .map(|d| d.display().to_string())
            .collect();
        all.join(", ")
    }
}

/// Everything in the directories that is a package.
fn read(directories: &[PathBuf]) -> Vec<Package> {
    let mut all = Vec::new();
    for directory in directories {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|e| e.path()).collect();
        paths.sort();
        all.extend(paths.iter().filter_map(|p| may_be(p)));
    }
    all
}

fn may_be(path: &Path) -> Option<Package> {
    let named = path.extension().is_some_and(|x| x == "pkg" || x == "tar");
    let is = named && path.is_file() || path.join("oci-layout").is_file();
    is.then(|| probity_store::package::read(path).ok())
        .flatten()
}

/// Name → what it depends on.
pub type Graph = BTreeMap<String, BTreeMap<String, String>>;

/// The tree below a name, indented; what is not in the graph is said to be missing.
pub fn tree(graph: &Graph, name: &str) -> String {
    let mut out = String::new();
    let mut seen = BTreeSet::new();
    branch(graph, name, "", 0, &mut seen, &mut out);
    out
}

fn branch(
    graph: &Graph,
    name: &str,
    range: &str,
    depth: usize,
    seen: &mut BTreeSet<String>,
    out: &mut String,
) {
    let indent = "  ".repeat(depth);
    let space = if range.is_empty() { "" } else { " " };
    let Some(below) = graph.get(name) else {
        *out += &format!("{indent}{name}{space}{range} (not loaded)\n");
        return;
    };
    let again = !seen.insert(name.to_owned()) && !below.is_empty();
    let more = if again { " …" } else { "" };
    *out += &format!("{indent}{name}{space}{range}{more}\n");
    if again {
        return;
    }
    for (name, range) in below {
        branch(graph, name, range, depth + 1, seen, out);
    }
}
