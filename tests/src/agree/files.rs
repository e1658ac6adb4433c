//! Paths → the objects in them, opened.

use std::ops::Range;
use std::path::{Path, PathBuf};

use probity_loader::kernel;
use probity_objfile::{Object, assemble, open};
use probity_platform::Platform;

use super::embedded;

/// Larger files are not searched.
const MOST_BYTES: u64 = 256 << 20;

/// One object: a file, or a part of one.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    part: Option<Range<usize>>,
    name: String,
}

/// The objects in files named, and in `.o` files and programs below directories named.
pub fn files(paths: &[PathBuf]) -> Result<Vec<Source>, String> {
    let mut found = Vec::new();
    let mut open: Vec<(PathBuf, bool)> = paths.iter().map(|p| (p.clone(), true)).collect();
    while let Some((path, named)) = open.pop() {
        if path.is_dir() && (named || !path.is_symlink()) {
            let entries =
                std::fs::read_dir(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            open.extend(entries.flatten().map(|e| (e.path(), false)));
        } else if !path.exists() && named {
            return Err(format!("{}: no such file", path.display()));
        } else if path.is_file() && (named || is_elf(&path)) {
            sources(&path, &mut found);
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn is_elf(path: &Path) -> bool {
    use std::io::Read;
    let mut magic = [0; 4];
    std::fs::File::open(path)
        .and_then(|mut f| f.read_exact(&mut magic))
        .is_ok_and(|()| &magic == b"\x7fELF")
}

fn sources(path: &Path, found: &mut Vec<Source>) {
    let name = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    let whole = || Source {
        path: path.to_owned(),
        part: None,
        name: name(path),
    };
    let small = std::fs::metadata(path).is_ok_and(|m| m.len() <= MOST_BYTES);
    let parts = match std::fs::read(path) {
        Ok(bytes) if small => embedded::objects(&bytes),
        _ => Vec::new(),
    };
    match &parts[..] {
        // What does not open says why when it is opened.
        [] if path.extension().is_some_and(|x| x == "o" || x == "s") => found.push(whole()),
        [one] if one.start == 0 => found.push(whole()),
        parts => found.extend(parts.iter().enumerate().map(|(n, part)| Source {
            path: path.to_owned(),
            part: Some(part.clone()),
            name: format!("{}[{n}]", name(path)),
        })),
    }
}

impl Source {
    /// File name, and which part of it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// With the directory that it is in: enough to find it.
    pub fn shown(&self) -> String {
        let parent = self.path.parent().and_then(Path::file_name);
        match parent {
            Some(parent) => format!("{}/{}", parent.to_string_lossy(), self.name),
            None => self.name.clone(),
        }
    }

    /// The object, with what its own loader would have filled in.
    pub fn open(&self, platform: &Platform) -> Result<Object, String> {
        let bytes = std::fs::read(&self.path).map_err(|e| e.to_string())?;
        if self.path.extension().is_some_and(|x| x == "s") {
            let text = String::from_utf8_lossy(&bytes);
            let helper = |name: &str| platform.helper_by_name(name).map(|h| h.id);
            return assemble(&self.name, &text, &helper).map_err(|e| e.to_string());
        }
        let bytes = match &self.part {
            Some(part) => bytes.get(part.clone()).ok_or("it was cut off")?,
            None => &bytes,
        };
        let stem = self.path.file_stem().and_then(|s| s.to_str());
        let mut object = open(stem.unwrap_or_default(), bytes).map_err(|e| e.to_string())?;
        for map in &mut object.maps {
            kernel::complete(map);
        }
        Ok(object)
    }
}
