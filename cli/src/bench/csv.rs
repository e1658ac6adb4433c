//! Rows ⇄ comma-separated values (RFC 4180), with a header; what `--csv` writes and `--compare` reads.

use std::ffi::OsStr;
use std::path::Path;

use super::row::{Cell, Engine, OURS, Other, Row, THEIRS};

/// Whether a path on the command line is a run that was kept.
pub fn is_run(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("csv"))
}

/// The header and the rows. Columns of engines that were not asked are left out.
pub fn write(rows: &[Row], against: &[Engine]) -> String {
    let mut keys: Vec<String> = OURS.iter().map(|k| (*k).to_string()).collect();
    for engine in against {
        keys.extend(THEIRS.iter().map(|k| format!("{}_{k}", engine.name())));
    }
    let mut text = keys.join(",");
    text.push('\n');
    for row in rows {
        let fields: Vec<String> = keys.iter().map(|k| field(&row.cell(k))).collect();
        text += &fields.join(",");
        text.push('\n');
    }
    text
}

pub fn field(cell: &Cell) -> String {
    match cell {
        Cell::Missing => String::new(),
        // Thousandths are all that is measured.
        Cell::Number(n) => format!("{}", (n * 1000.0).round() / 1000.0),
        Cell::Text(t) if t.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", t.replace('"', "\"\""))
        }
        Cell::Text(t) => t.clone(),
    }
}

/// The rows, and which engines they have figures of.
pub fn read(text: &str) -> Result<(Vec<Row>, Vec<Engine>), String> {
    let mut lines = records(text)?.into_iter();
    let header = lines.next().ok_or("it is empty")?;
    for needed in ["object", "program", "verdict"] {
        if !header.iter().any(|k| k == needed) {
            return Err(format!("its first line names no column `{needed}`"));
        }
    }
    let against = Engine::ALL
        .into_iter()
        .filter(|e| header.iter().any(|k| *k == format!("{}_verdict", e.name())))
        .collect();
    let mut rows = Vec::new();
    for (n, line) in lines.enumerate() {
        if line.len() != header.len() {
            let (is, must) = (line.len(), header.len());
            return Err(format!("row {} has {is} fields, not {must}", n + 1));
        }
        let get = |key: &str| {
            let at = header.iter().position(|k| k == key)?;
            line.get(at).map(String::as_str).filter(|f| !f.is_empty())
        };
        let row = row(&get).map_err(|key| format!("row {}: `{key}` is no number", n + 1))?;
        rows.push(row);
    }
    Ok((rows, against))
}

fn row<'a>(get: &dyn Fn(&str) -> Option<&'a str>) -> Result<Row, String> {
    let number = |key: &str| match get(key) {
        None => Ok(None),
        Some(text) => match text.parse::<f64>() {
            Ok(n) if n.is_finite() && n >= 0.0 => Ok(Some(n)),
            _ => Err(key.to_string()),
        },
    };
    let count = |key: &str| Ok::<_, String>(number(key)?.map(|n| n as u64));
    let text = |key: &str| get(key).unwrap_or_default().to_string();
    let other = |engine: Engine| {
        let key = |k: &str| format!("{}_{k}", engine.name());
        let other = Other {
            verdict: get(&key("verdict")).map(str::to_string),
            time_us: number(&key("time_us"))?,
            processed: count(&key("processed"))?,
            states: count(&key("states"))?,
            memory_bytes: count(&key("memory_bytes"))?,
            compiled: number(&key("compiled"))? == Some(1.0),
            ..Other::default()
        };
        Ok::<_, String>((other != Other::default()).then_some(other))
    };
    Ok(Row {
        object: text("object"),
        program: text("program"),
        section: text("section"),
        prog_type: text("prog_type"),
        verdict: text("verdict"),
        insns: count("insns")?.unwrap_or(0),
        processed: count("processed")?.unwrap_or(0),
        states: count("states")?.unwrap_or(0),
        peak_states: count("peak_states")?.unwrap_or(0),
        stack_depth: count("stack_depth")?.unwrap_or(0),
        worst_case_insns: count("worst_case_insns")?,
        time_us: number("time_us")?.unwrap_or(0.0),
        memory_bytes: count("memory_bytes")?,
        linux: other(Engine::Linux)?,
        prevail: other(Engine::Prevail)?,
        more: serde_json::Map::new(),
    })
}

fn records(text: &str) -> Result<Vec<Vec<String>>, String> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            c if quoted => field.push(c),
            '"' if field.is_empty() => quoted = true,
            ',' => record.push(std::mem::take(&mut field)),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            c => field.push(c),
        }
    }
    if quoted {
        return Err("a quotation mark is not closed".into());
    }
    if !field.is_empty() || !record.is_empty() {
        record.push(field);
        records.push(record);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let rows = vec![
            Row {
                object: "a \"b\", c.o".into(),
                program: "p\nq".into(),
                verdict: "accept".into(),
                processed: 12,
                time_us: 3.25,
                memory_bytes: Some(4096),
                linux: Some(Other {
                    verdict: Some("reject".into()),
                    time_us: Some(7.0),
                    compiled: true,
                    ..Other::default()
                }),
                ..Row::default()
            },
            Row {
                verdict: "reject".into(),
                ..Row::default()
            },
        ];
        let text = write(&rows, &[Engine::Linux]);
        assert_eq!(read(&text), Ok((rows.clone(), vec![Engine::Linux])));
        assert_eq!(read(&text.replace('\n', "\r\n")).map(|r| r.0.len()), Ok(2));
        assert!(write(&rows, &[]).lines().all(|l| !l.contains("linux")));
    }

    #[test]
    fn what_is_no_table_is_said() {
        for (text, says) in [
            ("", "empty"),
            ("a,b\n", "`object`"),
            ("object,program,verdict\nx,y\n", "row 1 has 2 fields, not 3"),
            (
                "object,program,verdict,time_us\nx,y,accept,soon\n",
                "`time_us` is no number",
            ),
            ("object,program,verdict\nx,\"y,accept\n", "not closed"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(says), "{error}");
        }
    }
}
