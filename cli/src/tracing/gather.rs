//! A script's text → the script with all that it imports: texts, headers, objects.

use std::path::{Path, PathBuf};

use probity_script::{File, Found};

use super::c_source;
use crate::input;

/// The script with `headers` and everything that it imports, looked for beside it and in `include`.
pub fn gather(
    text: &str,
    name: &str,
    file: Option<&Path>,
    include: &[PathBuf],
    headers: &[String],
) -> probity_script::Files {
    // A text that is no file is where it was typed.
    let beside = file.and_then(Path::parent).unwrap_or(Path::new(""));
    let places: Vec<&Path> = std::iter::once(beside)
        .chain(include.iter().map(PathBuf::as_path))
        .collect();
    let find = |wanted: &str| {
        let found = if wanted.starts_with('/') {
            Some(PathBuf::from(wanted)).filter(|p| p.is_file())
        } else {
            places.iter().map(|p| p.join(wanted)).find(|p| p.is_file())
        };
        let path = found?;
        let name = path.display().to_string();
        let object = |bytes| Some(Found::Object(name.clone(), bytes));
        match path.extension().and_then(|e| e.to_str()) {
            Some("o") => object(
                input::read(&path)
                    .map(Into::into)
                    .map_err(|e| (format!("{e:#}"), "is it the right file?".into())),
            ),
            Some("c") => object(c_source::object(&path, include)),
            _ => {
                let text = input::read_text(&path).ok()?;
                Some(Found::Text(File { name, text }))
            }
        }
    };
    probity_script::Files::gather(text, name, headers, &find)
}
