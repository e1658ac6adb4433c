//! Extensions → what `list`, `info` and `deps` print.

use anyhow::Result;
use probity_loader::pinned;
use probity_store::installed::Record;
use serde_json::{Value, json};

use super::kernel::Kernel;
use super::pins;

/// No control characters of strangers reach the terminal.
pub fn plain(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// The same, for text of several lines.
pub fn plain_lines(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
}

/// Where an extension is.
fn state(kernel: &Kernel, record: &Record) -> &'static str {
    match (kernel.pins.is_loaded(record), record.enabled) {
        (true, true) => "attached",
        (true, false) => "disabled",
        (false, true) => "not loaded",
        (false, false) => "disabled, not loaded",
    }
}

/// One extension of the kernel, in short.
pub fn short(kernel: &Kernel, record: &Record) -> Value {
    json!({
        "name": record.name,
        "version": record.version,
        "generation": record.generation,
        "enabled": record.enabled,
        "loaded": kernel.pins.is_loaded(record),
        "state": state(kernel, record),
        "signer": record.signer,
        "tainted": record.tainted,
        "programs": record.programs,
        "used_by": kernel.dependents(&record.name),
    })
}

/// All that is known of it.
pub fn long(kernel: &Kernel, record: &Record) -> Result<Value> {
    let package = kernel.installed.package(record)?;
    let m = package.manifest();
    let at = kernel.pins.generation(record);
    let mut all = short(kernel, record);
    let programs = record.programs.iter().map(|p| {
        let cost = pinned::run_stats(&pins::program(&at, &p.name));
        json!({
            "runs": cost.map(|c| c.runs),
            "nanoseconds": cost.map(|c| c.nanoseconds),
            "missed": cost.map(|c| c.missed),
            "name": p.name,
            "section": p.section,
            "attach": p.attach,
            "links": pinned::linked(&pins::links(&at, &p.name)).len(),
            "id": pinned::program_id(&pins::program(&at, &p.name)),
            "insns": p.insns,
            "worst_case_insns": p.worst_case_insns,
            "stack": p.stack,
        })
    });
    all["programs"] = programs.collect();
    let there = pinned::names(&at.join("maps"));
    let maps = m.maps.iter().map(|map| {
        let file = pinned::file_name(&map.name);
        let pinned = there.contains(&file).then(|| at.join("maps").join(&file));
        let mut shown = json!(map);
        shown["pinned"] = json!(pinned);
        shown
    });
    all["maps"] = maps.collect();
    let rest = json!({
        "digest": package.digest(),
        "key": package.signature().map(|s| s.key),
        "expires": package.signature().and_then(|s| s.expires),
        "authors": m.authors,
        "license": m.license,
        "description": m.description,
        "grants": m.grants,
        "dependencies": m.dependencies,
        "exports": m.exports,
        "data": m.data,
        "sealed_for": m.platform,
        "interface": record.interface,
        "cgroup": record.cgroup,
        "since": probity_bundle::Time(record.since).to_string(),
        "pinned": at,
        "host": "the running kernel",
        "host_tainted": kernel.installed.taint()?,
    });
    if let (Value::Object(all), Value::Object(rest)) = (&mut all, rest) {
        all.extend(rest);
    }
    Ok(all)
}

/// One line an extension of the kernel.
pub fn line(e: &Value) -> String {
    let text = |key: &str| plain(e[key].as_str().unwrap_or(""));
    let places: Vec<String> = rows(e, "programs")
        .filter_map(|p| p["attach"].as_str().map(plain))
        .collect();
    let who = match (e["tainted"].as_bool(), e["signer"].as_str()) {
        (Some(true), _) => "UNSIGNED, tainted".to_owned(),
        (_, Some(signer)) => format!("signed by {}", plain(signer)),
        _ => "signed".to_owned(),
    };
    format!(
        "{}  {}  generation {}  {}  {who}  {}\n",
        text("name"),
        text("version"),
        e["generation"],
        text("state"),
        places.join(", ")
    )
}

/// What `modinfo` shows of a module, and more.
pub fn info(e: &Value) -> String {
    let mut out = String::new();
    let mut row = |key: &str, value: String| {
        if !value.is_empty() {
            out += &format!("{key:<17}{}\n", plain(&value));
        }
    };
    let text = |v: &Value| match v {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        Value::Array(all) => all
            .iter()
            .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    };
    for key in [
        "name",
        "version",
        "description",
        "authors",
        "license",
        "state",
        "generation",
        "priority",
        "digest",
    ] {
        row(key, text(&e[key]));
    }
    let signer = &e["signer"];
    let signer = text(signer.get("name").unwrap_or(signer));
    row(
        "signer",
        match e["tainted"].as_bool() {
            Some(true) => "nobody (UNSIGNED): it taints".into(),
            _ => signer,
        },
    );
    row("key", text(&e["key"]));
    row("expires", text(&e["expires"]));
    let none = |v: &Value| v.as_array().is_some_and(Vec::is_empty);
    let g = &e["grants"];
    for (key, of) in [
        ("helpers", "helpers"),
        ("functions", "kfuncs"),
        ("map kinds", "map_kinds"),
        ("map bytes", "map_bytes"),
        ("worst case", "worst_case_insns"),
        ("data", "data"),
    ] {
        if !none(&g[of]) {
            row(&format!("asks {key}"), text(&g[of]));
        }
    }
    let ranges = e["dependencies"].as_object().into_iter().flatten();
    let ranges: Vec<String> = ranges.map(|(n, r)| format!("{n} {}", text(r))).collect();
    row("depends on", ranges.join(", "));
    row("used by", text(&e["used_by"]));
    for x in rows(e, "exports") {
        row("exports", text(x.get("prototype").unwrap_or(x)));
    }
    row("calls", text(&e["imports"]));
    for p in rows(e, "programs") {
        let worst = match p["worst_case_insns"].as_u64() {
            Some(n) => format!("at most {n} executed"),
            None => "no bound".to_string(),
        };
        let place = match (p["attach"].as_str(), p["hook"].as_str()) {
            (Some(to), _) => match p["links"].as_u64() {
                Some(1) => format!("{to}, 1 link"),
                n => format!("{to}, {} links", n.unwrap_or(0)),
            },
            (_, Some(hook)) => format!("hook/{hook}"),
            _ => "reached by tail calls".to_owned(),
        };
        let calls = match p["calls"].as_u64() {
            Some(n) => {
                let verdicts = p["verdicts"].as_object().into_iter().flatten();
                let verdicts: Vec<String> = verdicts.map(|(v, n)| format!("{v}: {n}")).collect();
                let verdicts = verdicts.join(", ");
                // Some of the calls are timed.
                let took = match p["timed"].as_u64() {
                    Some(0) => "none timed yet".to_owned(),
                    _ => format!("{} ns", p["nanoseconds"]),
                };
                match n {
                    0 => "; no calls".to_owned(),
                    n => format!("; {n} calls, {took}; verdicts {verdicts}"),
                }
            }
            None => String::new(),
        };
        let calls = match p["runs"].as_u64() {
            // The kernel counts only while it is told to.
            Some(0) => "; no runs counted".to_owned(),
            Some(n) => format!("; {n} runs counted, {} ns", p["nanoseconds"]),
            None => calls,
        };
        row(
            "program",
            format!(
                "{} ({place}): {} insns, {worst}, stack {}{calls}",
                text(&p["name"]),
                p["insns"],
                p["stack"],
            ),
        );
    }
    for m in rows(e, "maps") {
        let bytes = match (m["bytes"].as_u64(), m["key_size"].as_u64()) {
            (Some(n), _) => format!("{n} bytes at most"),
            (_, Some(key)) => format!("keys of {key} bytes, values of {}", m["value_size"]),
            _ => String::new(),
        };
        let place = match m["pinned"].as_str() {
            Some(path) => format!(", {path}"),
            None => String::new(),
        };
        row(
            "map",
            format!(
                "{}: {}, {} elements at most, {bytes}{place}",
                text(&m["name"]),
                text(&m["kind"]),
                m["max_entries"],
            ),
        );
    }
    row("pinned", text(&e["pinned"]));
    let tainted = text(&e["host_tainted"]);
    if !tainted.is_empty() {
        row("tainted", format!("{} by {tainted}", text(&e["host"])));
    }
    out
}

fn rows<'a>(e: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    e[key].as_array().into_iter().flatten()
}
