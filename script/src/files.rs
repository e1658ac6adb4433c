//! A script and the files it imports → one text in which every place knows its file.

/// A file that imports others, or is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub name: String,
    pub text: String,
}

/// A script, then what it imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    list: Vec<File>,
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
        }
    }

    /// A script with `headers` and everything that `import "FILE"` and `#include` name and `find` finds: it gives
    /// a file's full name and text. Headers that are not found are left out: types come from BTF.
    pub fn gather(
        text: &str,
        name: &str,
        headers: &[String],
        find: &dyn Fn(&str) -> Option<(String, String)>,
    ) -> Files {
        let mut files = Files::one(text, name);
        let mut at = 0;
        while let Some(file) = files.list.get(at) {
            let first = if at == 0 { headers } else { &[] };
            for wanted in first.iter().cloned().chain(imports(&file.text)) {
                if files.list.len() >= MAX_FILES {
                    return files;
                }
                if let Some((name, text)) = find(&wanted)
                    && files.list.iter().all(|f| f.name != name)
                {
                    files.list.push(File { name, text });
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

    /// One text with all of them, which imports nothing; `None` when there are headers, which are C.
    pub fn whole(&self) -> Option<String> {
        let mut out = String::new();
        for file in &self.list {
            if file.is_header() {
                return None;
            }
            for line in file.text.split_inclusive('\n') {
                let found = imports(line).iter().any(|path| self.has(path));
                match line.split_once(';').filter(|_| found) {
                    Some((_, rest)) => out.push_str(rest),
                    None if found => out.push('\n'),
                    None => out.push_str(line),
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
    for line in text.lines() {
        let line = line.trim_start();
        let rest = match line.strip_prefix('#') {
            Some(directive) => directive.trim_start().strip_prefix("include"),
            None => line.strip_prefix("import"),
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
            && ![".c", ".o", ".bc"].iter().any(|e| path.ends_with(e))
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
        let find = |name: &str| match name {
            "a.bt" => Some(("/x/a.bt".to_owned(), "import \"b.bt\"".to_owned())),
            "b.bt" => Some(("/x/b.bt".to_owned(), "import \"a.bt\"".to_owned())),
            _ => None,
        };
        let text = "import \"a.bt\";\n#include <linux/none.h>\nbegin { }";
        let files = Files::gather(text, "s", &[], &find);
        assert_eq!(files.list().len(), 3);
        assert!(files.has("a.bt") && files.has("./b.bt") && !files.has("c.bt"));
        assert_eq!(files.name(), "s");
        let whole = "\n#include <linux/none.h>\nbegin { }\n\n\n";
        assert_eq!(files.whole().as_deref(), Some(whole));
    }
}
