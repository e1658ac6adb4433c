//! Parses every program of a folder of sample cases, when `PROBITY_SHARED` names one.

use std::path::Path;

/// The programs of bpftrace-style case files: `PROG` lines with their continuation lines.
fn programs(folder: &Path) -> Vec<(String, String)> {
    let mut out = Vec::new();
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
        let mut name = String::new();
        let mut in_prog = false;
        for line in text.lines() {
            if let Some(n) = line.strip_prefix("NAME ") {
                name = format!(
                    "{}.{n}",
                    file.file_name().unwrap_or_default().to_string_lossy()
                );
                in_prog = false;
            } else if let Some(p) = line.strip_prefix("PROG ") {
                out.push((name.clone(), p.to_owned()));
                in_prog = true;
            } else if in_prog && line.starts_with("     ") {
                if let Some(last) = out.last_mut() {
                    last.1.push('\n');
                    last.1.push_str(line.trim_start());
                }
            } else {
                in_prog = false;
            }
        }
    }
    out
}

#[test]
fn sample_programs_parse() {
    let Ok(shared) = std::env::var("PROBITY_SHARED") else {
        return;
    };
    let all = programs(&Path::new(&shared).join("data/script/runtime"));
    let mut failed = Vec::new();
    for (name, text) in &all {
        if let Err(e) = probity_script::parse(text, name) {
            failed.push(format!("{name}\n{text}\n{e}"));
        }
    }
    println!(
        "{} of {} sample programs parse",
        all.len() - failed.len(),
        all.len()
    );
    for f in &failed {
        println!("{f}");
    }
    assert!(failed.len() * 20 <= all.len(), "more than 5% do not parse");
}
