//! What this machine says of its probes: formats of tracepoints, names of functions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object::{Object as _, ObjectSymbol};
use probity_script::{Format, Functions, TracepointFormats};

use super::dwarf::Debug;
use super::files;
use crate::{input, kernel};

/// The running kernel's tracepoints, read as they are asked for.
pub struct Tracefs {
    events: Option<PathBuf>,
}

impl Tracefs {
    pub fn new() -> Tracefs {
        Tracefs {
            events: kernel::tracefs().map(|p| p.join("events")),
        }
    }

    /// Can events be looked up at all?
    pub fn readable(&self) -> bool {
        self.events
            .as_deref()
            .is_some_and(|e| std::fs::read_dir(e).is_ok())
    }
}

impl TracepointFormats for Tracefs {
    fn format(&self, category: &str, name: &str) -> Option<Arc<Format>> {
        // A name is one directory, never a path.
        if [category, name]
            .iter()
            .any(|n| n.is_empty() || n.starts_with('.') || n.contains('/'))
        {
            return None;
        }
        let text = std::fs::read_to_string(
            self.events
                .as_ref()?
                .join(category)
                .join(name)
                .join("format"),
        )
        .ok()?;
        Format::parse(&text).ok().map(Arc::new)
    }

    fn names(&self) -> Vec<(String, String)> {
        let Some(events) = &self.events else {
            return Vec::new();
        };
        let mut names = Vec::new();
        for category in directories(events) {
            // ftrace's own events cannot be attached to.
            if category == "ftrace" {
                continue;
            }
            for name in directories(&events.join(&category)) {
                names.push((category.clone(), name));
            }
        }
        crate::sorted::by(&mut names, Ord::cmp);
        names
    }
}

/// The running kernel's functions and those of files.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// The kernel's functions that count as traceable, where somebody has said so.
    pub traceable: Option<Vec<String>>,
    /// Where debug information is looked for before the system's own places.
    pub debug_dirs: Vec<PathBuf>,
}

impl Machine {
    /// A list of functions as the kernel writes it: a name is the first word of a line.
    pub fn functions_listed(text: &str) -> Vec<String> {
        let names: BTreeSet<&str> = text
            .lines()
            .filter_map(|l| l.split_whitespace().next())
            .collect();
        names.into_iter().map(str::to_string).collect()
    }
}

impl Functions for Machine {
    fn kernel(&self) -> Vec<String> {
        if let Some(listed) = &self.traceable {
            return listed.clone();
        }
        let listed = kernel::tracefs()
            .and_then(|t| std::fs::read_to_string(t.join("available_filter_functions")).ok());
        match listed {
            Some(text) => Machine::functions_listed(&text),
            None => {
                let names: BTreeSet<String> = kallsyms()
                    .into_iter()
                    .filter(|(_, kind, _)| matches!(kind, 't' | 'T'))
                    .map(|(_, _, n)| n)
                    .collect();
                names.into_iter().collect()
            }
        }
    }

    fn modules(&self) -> Vec<(String, String)> {
        // `ADDRESS KIND NAME [MODULE]`
        let text = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
        let parse = |line: &str| {
            let (symbol, module) = line.split_once("\t[")?;
            let mut words = symbol.split_whitespace().skip(1);
            matches!(words.next()?, "t" | "T").then_some(())?;
            Some((
                module.trim_end_matches(']').to_string(),
                words.next()?.to_string(),
            ))
        };
        text.lines().filter_map(parse).collect()
    }

    fn programs(&self) -> Vec<(u32, String)> {
        let all = probity_loader::loaded_functions().unwrap_or_default();
        all.into_iter().map(|f| (f.program, f.name)).collect()
    }

    fn raw_tracepoints(&self) -> Vec<String> {
        let mut names: Vec<String> = Tracefs::new()
            .names()
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn user(&self, path: &str) -> Vec<String> {
        symbols(path)
            .unwrap_or_default()
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    fn readable(&self, path: &str) -> Vec<(String, String)> {
        let symbols = symbols(path).unwrap_or_default().into_iter();
        symbols
            .filter_map(|(symbol, _)| {
                let name = cpp_demangle::Symbol::new(&symbol).ok()?.demangle().ok()?;
                Some((symbol, name))
            })
            .collect()
    }

    fn resolve(&self, path: &str) -> Option<String> {
        find_file(path).map(|p| p.display().to_string())
    }

    fn files(&self, pattern: &str, pid: Option<u32>) -> Vec<String> {
        match pattern {
            "*" => files::run(pid),
            pattern => files::matching(pattern),
        }
    }

    fn usdt(&self, path: &str) -> Vec<probity_script::UsdtSite> {
        match input::read(Path::new(path)) {
            Ok(bytes) => super::sdt::sites(&bytes),
            Err(_) => Vec::new(),
        }
    }

    fn kernel_address(&self, name: &str) -> Option<u64> {
        kallsyms()
            .into_iter()
            .find(|(address, _, n)| n == name && *address != 0)
            .map(|(address, ..)| address)
    }

    fn user_address(&self, path: &str, name: &str) -> Option<u64> {
        symbols(path)?
            .into_iter()
            .find(|(n, _)| n == name)
            .map(|(_, address)| address)
    }

    fn user_function(&self, path: &str, symbol: &str) -> Option<probity_script::UserFunction> {
        Debug::open(Path::new(path), &self.debug_dirs)?.function(symbol)
    }

    fn source_line(&self, path: &str, source: &str, line: u64) -> Option<Vec<u64>> {
        Debug::open(Path::new(path), &self.debug_dirs)?.line(source, line)
    }

    fn may_call(&self, kfunc: &str, program: u32) -> bool {
        let version = kernel::version("running").unwrap_or(probity_platform::NEWEST);
        let platform = probity_platform::Platform::linux(version, None);
        platform
            .kfunc(kfunc)
            .is_some_and(|k| k.since <= version && k.allows(program))
    }

    fn cgroup_id(&self, path: &str) -> Option<u64> {
        // The id of a control group is the inode of its directory.
        std::fs::metadata(path)
            .ok()
            .map(|m| std::os::unix::fs::MetadataExt::ino(&m))
    }
}

/// Address, kind and name of every kernel symbol; addresses are 0 without privilege.
pub fn kallsyms() -> Vec<(u64, char, String)> {
    let text = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let parse = |line: &str| {
        let mut words = line.split_whitespace();
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        Some((
            address,
            words.next()?.chars().next()?,
            words.next()?.to_string(),
        ))
    };
    text.lines().filter_map(parse).collect()
}

/// Functions of an ELF file with their addresses.
fn symbols(path: &str) -> Option<Vec<(String, u64)>> {
    let bytes = input::read(Path::new(path)).ok()?;
    let file = object::File::parse(&*bytes).ok()?;
    let mut found: Vec<(String, u64)> = file
        .symbols()
        .chain(file.dynamic_symbols())
        .filter(|s| s.is_definition() && s.kind() == object::SymbolKind::Text)
        .filter_map(|s| Some((s.name().ok()?.to_string(), s.address())))
        .collect();
    crate::sorted::by(&mut found, Ord::cmp);
    found.dedup();
    Some(found)
}

/// A path as it is; a program's name along PATH; a library's name (`libc`, `c`, `libssl.so.3`)
/// in the places the dynamic linker looks.
fn find_file(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        let path = Path::new(name);
        return path.is_file().then(|| path.to_path_buf());
    }
    let on_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path)
            .map(|dir| dir.join(name))
            .find(|p| p.is_file())
    });
    if on_path.is_some() {
        return on_path;
    }
    let architecture = format!("{}-linux-gnu", std::env::consts::ARCH);
    let places = [
        format!("/lib/{architecture}"),
        format!("/usr/lib/{architecture}"),
        "/lib64".into(),
        "/usr/lib64".into(),
        "/lib".into(),
        "/usr/lib".into(),
        "/usr/local/lib".into(),
    ];
    let wanted = [
        name.to_string(),
        format!("{name}.so"),
        format!("lib{name}.so"),
    ];
    for place in places {
        let mut files: Vec<PathBuf> = std::fs::read_dir(place)
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
            .collect();
        crate::sorted::by(&mut files, Ord::cmp);
        let found = files.into_iter().find(|file| {
            let Some(file_name) = file.file_name().map(|n| n.to_string_lossy()) else {
                return false;
            };
            let fits = |w: &String| {
                *file_name == **w || (w.ends_with(".so") && file_name.starts_with(&format!("{w}.")))
            };
            // `libc.so` may be a linker script.
            wanted.iter().any(fits) && is_elf(file)
        });
        if found.is_some() {
            return found;
        }
    }
    None
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read =
        std::fs::File::open(path).and_then(|mut f| std::io::Read::read_exact(&mut f, &mut magic));
    read.is_ok() && &magic == b"\x7fELF"
}

fn directories(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect()
}
