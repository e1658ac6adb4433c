//! A script and the files it imports → one text in which every place knows its file, and objects beside it.

use std::sync::Arc;

/// A file that imports others, or is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub name: String,
    pub text: String,
}

/// An object whose functions a script may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedObject {
    /// As the script names it.
    pub wanted: String,
    pub name: String,
    /// ELF, or why there is none: a message and what to do about it.
    pub bytes: Result<Arc<[u8]>, (String, String)>,
}

/// What a file that a script names holds.
pub enum Found {
    Text(File),
    /// Its name, and as [`ImportedObject::bytes`].
    Object(String, Result<Arc<[u8]>, (String, String)>),
}

/// A script, then what it imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    list: Vec<File>,
    objects: Vec<ImportedObject>,
}

const MAX_FILES: usize = 64;

impl Files {
    /// A script that stands alone.
    pub fn one(text: &str, name: &str) -> Files {
        Files {
            list: vec![File {
                name: name.to_owned(),
                text: text.to_owned(),
            }],
            objects: Vec::new(),
        }
    }

    /// A script with `headers` and everything that `import "FILE"` and `#include` name and `find` finds: names that
    /// end in `.o` or `.c` are of objects. Headers that are not found are left out: types come from BTF.
    pub fn gather(
        text: &str,
        name: &str,
        headers: &[String],
        find: &dyn Fn(&str) -> Option<Found>,
    ) -> Files {
        let mut files = Files::one(text, name);
        let mut at = 0;
        while let Some(file) = files.list.get(at) {
            let first = if at == 0 { headers } else { &[] };
            for wanted in first.iter().cloned().chain(imports(&file.text)) {
                if files.list.len() + files.objects.len() >= MAX_FILES {
                    return files;
                }
                if files.objects.iter().any(|o| o.wanted == wanted) {
                    continue;
                }
                match find(&wanted) {
                    Some(Found::Text(file)) if files.list.iter().all(|f| f.name != file.name) => {
                        files.list.push(file);
                    }
                    Some(Found::Object(name, bytes)) => files.objects.push(ImportedObject {
                        wanted,
                        name,
                        bytes,
                    }),
                    _ => {}
                }
            }
            at += 1;
        }
        files
    }

    /// The script's own name.
    pub fn name(&self) -> &str {
        self.list.first().map_or("", |f| &f.name)
    }

    /// One text with all of them, which imports nothing; `None` when there are headers, which are C, or objects.
    pub fn whole(&self) -> Option<String> {
        if !self.objects.is_empty() {
            return None;
        }
        let mut out = String::new();
        for file in &self.list {
            if file.is_header() {
                return None;
            }
            for line in file.text.split_inclusive('\n') {
                let found = |part: &&str| imports(part).iter().any(|path| self.has(path));
                let kept = line.split_inclusive(';').filter(|part| !found(part));
                kept.for_each(|part| out.push_str(part));
                if line.ends_with('\n') && !out.ends_with('\n') {
                    out.push('\n');
                }
            }
            if !out.ends_with('\n') {
                out.push('\n');
            }
        }
        Some(out)
    }

    pub(crate) fn list(&self) -> &[File] {
        &self.list
    }

    pub(crate) fn objects(&self) -> &[ImportedObject] {
        &self.objects
    }

    /// Whether a file that an import names is among these.
    pub fn has(&self, wanted: &str) -> bool {
        let tail = format!("/{}", wanted.trim_start_matches("./"));
        self.list
            .iter()
            .skip(1)
            .any(|f| f.name == wanted || f.name.ends_with(&tail))
    }
}

impl File {
    /// C, of which only what declares types and constants is read.
    pub fn is_header(&self) -> bool {
        self.name.ends_with(".h")
    }
}

/// What the lines of a text import.
fn imports(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in text.lines().flat_map(|line| line.split(';')) {
        let line = line.trim_start();
        let (rest, passed): (_, &[&str]) = match line.strip_prefix('#') {
            Some(directive) => (
                directive.trim_start().strip_prefix("include"),
                &[".c", ".o", ".bc"],
            ),
            None => (line.strip_prefix("import"), &[".bc"]),
        };
        let Some(rest) = rest else { continue };
        let rest = rest.trim_start();
        let close = match rest.chars().next() {
            Some('"') => '"',
            Some('<') => '>',
            _ => continue,
        };
        if let Some((path, _)) = rest[1..].split_once(close)
            && !path.starts_with("stdlib")
            && !passed.iter().any(|e| path.ends_with(e))
        {
            out.push(path.to_owned());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_gathered_once() {
        let text = |name: &str, text: &str| {
            Some(Found::Text(File {
                name: name.to_owned(),
                text: text.to_owned(),
            }))
        };
        let find = |name: &str| match name {
            "a.bt" => text("/x/a.bt", "import \"b.bt\""),
            "b.bt" => text("/x/b.bt", "import \"a.bt\""),
            "c.o" => Some(Found::Object("/x/c.o".to_owned(), Ok(Arc::new([1])))),
            _ => None,
        };
        let text = "import \"a.bt\";\n#include <linux/none.h>\nbegin { }";
        let files = Files::gather(text, "s", &[], &find);
        assert_eq!(files.list().len(), 3);
        assert!(files.has("a.bt") && files.has("./b.bt") && !files.has("c.bt"));
        assert_eq!(files.name(), "s");
        let whole = "\n#include <linux/none.h>\nbegin { }\n";
        assert_eq!(files.whole().as_deref(), Some(whole));
        let text = "import \"a.bt\"; import \"b.bt\"; begin { x }";
        let files = Files::gather(text, "s", &[], &find);
        assert_eq!(files.list().len(), 3);
        assert_eq!(files.whole().as_deref(), Some(" begin { x }\n"));
        let files = Files::gather("import \"c.o\";\nimport \"c.o\"", "s", &[], &find);
        assert_eq!((files.list().len(), files.objects().len()), (1, 1));
        assert_eq!(files.whole(), None, "a text holds no object");
    }
}
