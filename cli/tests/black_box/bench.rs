//! `probity bench verify`: figures a program, kept, sorted, filtered, compared and drawn.

use serde_json::Value;

use crate::process::{is_root, live};
use crate::{Done, Scratch, probity, programs};

const OBJECT: &str = "xdp-firewall/xdp-firewall.o";

/// The table of `--csv`, by column.
fn columns(done: &Done) -> Vec<Vec<(String, String)>> {
    let mut lines = done.stdout.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields.len(), header.len(), "{line}");
        header
            .iter()
            .zip(fields)
            .map(|(k, f)| (k.to_string(), f.to_string()))
            .collect()
    };
    lines.map(row).collect()
}

fn get<'a>(row: &'a [(String, String)], key: &str) -> &'a str {
    let found = row.iter().find(|(k, _)| k == key);
    &found.unwrap_or_else(|| panic!("no column {key}")).1
}

#[test]
fn json_has_the_keys_of_verify_and_the_figures() {
    let object = programs(OBJECT);
    let verified = probity!["verify", "--json", &object].run().ok();
    let benched = probity!["bench", "verify", "--json", "--runs", "3", &object]
        .run()
        .ok();
    let (verified, benched) = (verified.json_lines(), benched.json_lines());
    assert_eq!(verified.len(), benched.len());
    for (verified, benched) in verified.iter().zip(&benched) {
        let (Value::Object(verified), Value::Object(benched)) = (verified, benched) else {
            panic!("no objects");
        };
        for (key, value) in verified {
            let same = key == "time_us" || benched.get(key) == Some(value);
            assert!(same, "{key}: {value} and {:?}", benched.get(key));
        }
        let time = benched["time_us"].as_f64().expect("a time");
        assert!(time > 0.1 && time < 1e6, "{time} µs");
        // More than a page, less than the whole process has.
        let memory = benched["memory_bytes"].as_u64().expect("memory");
        assert!((1000..50 << 20).contains(&memory), "{memory} bytes");
        assert_eq!(
            (&benched["linux"], &benched["prevail"]),
            (&Value::Null, &Value::Null)
        );
    }
}

#[test]
fn a_directory_is_its_objects_and_a_table_has_a_sum() {
    let done = probity!["bench", "verify", "--runs", "1", programs("xdp-firewall")]
        .run()
        .ok();
    done.prints(&["object", "insns/s", "xdp-firewall.o", "accept", "accepted"]);
}

#[test]
fn rejected_programs_are_measured_too() {
    let unsafe_one = programs("unsafe/write-to-rodata.o");
    let done = probity!["bench", "verify", "--json", "--runs", "1", unsafe_one]
        .run()
        .ok();
    assert_eq!(done.json_lines()[0]["verdict"], "reject");
    assert_eq!(done.json_lines()[0]["error"]["kind"], "read_only");
}

#[test]
fn rows_are_filtered_and_sorted() {
    let all = programs("");
    let run = |args: &[&str]| {
        let mut command = vec!["bench".into(), "verify".into(), "--csv".into()];
        command.extend(["--runs", "1"].map(Into::into));
        command.extend(args.iter().map(Into::into));
        command.push(all.clone().into_os_string());
        columns(&crate::process::command(command).run().ok())
    };
    let by_size = run(&["--sort", "insns:desc,program", "--filter", "verdict=accept"]);
    let sizes: Vec<u64> = by_size
        .iter()
        .map(|r| get(r, "insns").parse().expect("a number"))
        .collect();
    assert!(
        sizes.len() > 10 && sizes.is_sorted_by(|a, b| a >= b),
        "{sizes:?}"
    );
    assert!(by_size.iter().all(|r| get(r, "verdict") == "accept"));

    let rejected = run(&["-f", "verdict!=accept", "-f", "!context-*"]);
    assert!(!rejected.is_empty());
    for row in &rejected {
        assert_ne!(get(row, "verdict"), "accept");
        assert!(!get(row, "object").contains("/context-"), "{row:?}");
    }
    let named = run(&["-f", "xdp-firewall.o/*"]);
    assert!(!named.is_empty());
    assert!(
        named
            .iter()
            .all(|r| get(r, "object").ends_with("xdp-firewall.o"))
    );
}

#[test]
fn two_runs_are_compared() {
    let scratch = Scratch::new();
    let object = programs(OBJECT);
    let kept = probity!["bench", "verify", "--csv", "--runs", "1", &object]
        .run()
        .ok();
    let old = scratch.file("old.csv", &kept.stdout);
    // A kept run is shown again, and does not differ from itself.
    let again = probity!["bench", "verify", "--csv", &old].run().ok();
    assert_eq!(again.stdout, kept.stdout);
    let same = probity!["bench", "verify", "--compare", &old, &old]
        .run()
        .ok();
    same.prints(&["0 verdicts changed"]);
    // Neither do verdicts from one run to the next.
    probity!["bench", "verify", "--runs", "1", "--compare", &old, &object]
        .run()
        .ok()
        .prints(&["0 verdicts changed"]);

    let other = kept.stdout.replacen("accept", "reject", 1);
    let other = scratch.file("other.csv", other);
    let changed = probity!["bench", "verify", "--compare", &other, &old].run();
    assert_eq!(changed.code, 1, "{changed}");
    let changed = changed.prints(&["verdict", "reject", "accept", "1 verdicts changed"]);
    assert!(
        changed
            .stdout
            .lines()
            .nth(1)
            .is_some_and(|l| l.contains("verdict"))
    );
    let json = probity!["bench", "verify", "--json", "--compare", &other, &old].run();
    assert_eq!(json.code, 1);
    assert_eq!(json.json_lines()[0]["column"], "verdict");
}

#[test]
fn a_plot_is_drawn() {
    let scratch = Scratch::new();
    let drawing = scratch.path("time.svg");
    let object = programs(OBJECT);
    probity![
        "bench", "verify", "--runs", "1", "--plot", &drawing, &object
    ]
    .run()
    .ok();
    let drawing = std::fs::read_to_string(drawing).expect("a drawing");
    assert!(
        drawing.starts_with("<svg") && drawing.contains("<circle"),
        "{drawing}"
    );
    probity![
        "bench",
        "verify",
        "--runs",
        "1",
        "--plot",
        "/nowhere/x.svg",
        &object
    ]
    .run()
    .fails(&["/nowhere/x.svg"]);
}

#[test]
fn what_cannot_be_is_said() {
    let scratch = Scratch::new();
    let object = programs(OBJECT);
    let bad = scratch.file("bad.csv", "a,b\n1,2\n");
    probity!["bench"].run().misused(&["Usage"]);
    probity!["bench", "verify"].run().misused(&["OBJECT"]);
    probity!["bench", "verify", &object, "--sort", "speed"]
        .run()
        .misused(&["no column `speed`", "throughput"]);
    probity!["bench", "verify", &object, "--sort", "time:up"]
        .run()
        .misused(&["`up`"]);
    probity!["bench", "verify", &object, "--filter", "speed>1"]
        .run()
        .misused(&["no column `speed`"]);
    probity!["bench", "verify", &object, "--runs", "0"]
        .run()
        .misused(&["0"]);
    probity!["bench", "verify", &object, "--limit", "-1"]
        .run()
        .misused(&["-1"]);
    probity!["bench", "verify", &object, "--against", "windows"]
        .run()
        .misused(&["windows", "linux"]);
    probity!["bench", "verify", &object, "--compare", &bad]
        .run()
        .fails(&["bad.csv", "`object`"]);
    probity!["bench", "verify", &bad].run().fails(&["bad.csv"]);
    probity!["bench", "verify", "/nowhere.o"]
        .run()
        .fails(&["/nowhere.o"]);
    // One bad file does not keep the others from being measured.
    let text = scratch.file("text.o", "no object");
    let done = probity!["bench", "verify", "--runs", "1", "--json", text, &object].run();
    assert_eq!(done.code, 1);
    assert!(!done.says(&["text.o"]).json_lines().is_empty());
}

/// Linux's own figures beside ours, from a process of its own.
#[test]
fn linux_is_asked() {
    if !live() {
        return;
    }
    let objects = [programs(OBJECT), programs("unsafe/write-to-rodata.o")];
    let args = [
        "bench",
        "verify",
        "--against",
        "linux",
        "--runs",
        "2",
        "--json",
    ];
    let all = args.iter().map(Into::into);
    let all = all.chain(objects.map(std::path::PathBuf::into_os_string));
    let rows = crate::process::command(all).run().ok().json_lines();
    assert!(rows.len() >= 2);
    for row in &rows {
        let linux = row["linux"].as_object().expect("figures of Linux");
        let keys: Vec<&str> = linux.keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            ["verdict", "time_us", "processed", "states", "memory_bytes"]
        );
        assert_eq!(linux["verdict"], row["verdict"], "{row}");
        assert!(linux["processed"].as_u64().is_some_and(|n| n > 0), "{row}");
        assert!(linux["time_us"].as_f64().is_some_and(|t| t > 0.0), "{row}");
        // Where it can be told at all.
        let memory = &linux["memory_bytes"];
        assert!(
            memory.is_null() || memory.as_u64().is_some_and(|m| m < 1 << 30),
            "{row}"
        );
    }
    let args = ["bench", "verify", "--against", "linux", "--runs", "1"];
    let text = args
        .map(Into::into)
        .into_iter()
        .chain([programs(OBJECT).into_os_string()]);
    let done = crate::process::command(text).run().ok();
    done.prints(&["Linux", "time×", "against Linux", "geometric means"]);
}

#[test]
fn without_rights_linux_is_not_asked() {
    let scratch = Scratch::new();
    if is_root() {
        std::fs::set_permissions(
            scratch.path(""),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .expect("permissions");
    }
    let object = std::fs::read(programs(OBJECT)).expect("an object");
    let object = scratch.file("a.o", object);
    probity!["bench", "verify", "--against", "linux", &object]
        .unprivileged(&scratch)
        .run()
        .fails(&["Linux", "root"]);
}

#[test]
fn without_the_feature_prevail_says_how_to_have_it() {
    let done = probity!["bench", "verify", "--against", "prevail", programs(OBJECT)].run();
    if cfg!(feature = "prevail") {
        done.ok().prints(&["PREVAIL"]);
    } else {
        done.fails(&["--features prevail"]);
    }
}
