//! bpftrace-style files of cases: `NAME`, `PROG`, `EXPECT` lines.

use std::path::Path;

pub struct Case {
    pub name: String,
    pub program: String,
    pub expect: Vec<String>,
}

/// Cases with a program that needs nothing of the machine, and plain expected lines.
pub fn read(folder: &Path) -> Vec<Case> {
    let mut out: Vec<Case> = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return out;
    };
    let mut files: Vec<_> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.is_file())
        .collect();
    files.sort();
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        let stem = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for paragraph in text.split("\n\n") {
            if let Some(case) = case(&stem, paragraph) {
                out.push(case);
            }
        }
    }
    out
}

fn case(stem: &str, paragraph: &str) -> Option<Case> {
    let mut case = Case {
        name: stem.to_owned(),
        program: String::new(),
        expect: Vec::new(),
    };
    let mut last = "";
    for line in paragraph.lines() {
        if line.starts_with(' ') && last == "PROG" {
            case.program.push('\n');
            case.program.push_str(line.trim());
            continue;
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        last = word;
        match word {
            "NAME" => case.name = format!("{stem}.{rest}"),
            "PROG" => case.program = rest.to_owned(),
            "EXPECT" => case.expect.push(rest.to_owned()),
            "RUN" | "WILL_FAIL" | "BEFORE" | "AFTER" | "EXPECT_REGEX" | "EXPECT_JSON"
            | "EXPECT_FILE" | "EXPECT_NONE" | "EXPECT_REGEX_NONE" | "ENV" => return None,
            "ARCH" if rest.contains("be") && !rest.contains("le") => return None,
            _ => {}
        }
    }
    let plain = [
        "begin",
        "BEGIN",
        "i:",
        "interval:",
        "config",
        "struct",
        "enum",
        "macro",
        "let",
    ]
    .iter()
    .any(|p| case.program.starts_with(p));
    (plain && !case.expect.is_empty()).then_some(case)
}
