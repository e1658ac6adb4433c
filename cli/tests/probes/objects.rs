//! Scripts that became objects, and objects that scripts import.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::{N, common, left_behind, load, maps, probity};

/// What `probity attach` says of an object that a script became, beside a load of its own: `{load}`.
fn attached(name: &str, script: &str) -> Vec<Value> {
    attached_and_said(name, script).0
}

/// The same, and what it remarks when it ends.
fn attached_and_said(name: &str, script: &str) -> (Vec<Value>, String) {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = directory.join(name);
    std::fs::copy(load().unwrap(), &path).unwrap();
    let (path, object) = (path.display().to_string(), format!("{name}.o"));
    let object = directory.join(object).display().to_string();
    let done = probity(&["--emit", &object, "-e", &script.replace("{load}", &path)]);
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{errors}");
    let running = common::Running::start(&["attach", "--json", &object], Some("Attached"));
    let ran = Command::new(&path).arg(N.to_string()).status();
    assert!(ran.is_ok_and(|s| s.success()));
    let (out, said) = running.interrupt_both();
    let rows = out.lines().map(|l| serde_json::from_str(l).unwrap());
    (rows.collect(), said)
}

/// The one number of a map that has a value for each processor.
fn number_in(rows: &[Value], map: &str) -> u64 {
    fn sum(value: &Value) -> u64 {
        match value {
            Value::Array(all) => all.iter().map(sum).sum(),
            Value::Object(all) => all.get("value").map_or(0, sum),
            other => other.as_u64().unwrap_or(0),
        }
    }
    let row = rows.iter().find(|r| r["map"] == map).expect("the map");
    sum(&row["data"])
}

#[test]
fn an_object_of_an_address_is_attached_there() {
    let Some(path) = load() else { return };
    let symbols = Command::new("nm").arg(path).output().unwrap().stdout;
    let symbols = String::from_utf8_lossy(&symbols).into_owned();
    let line = symbols.lines().find(|l| l.ends_with(" work_first"));
    let address = line.unwrap().split(' ').next().unwrap();
    let script = format!("uprobe:{{load}}:0x{address} {{ @n = sum(1); }}");
    let rows = attached("by-address", &script);
    assert_eq!(number_in(&rows, "AT_n"), N, "{rows:?}");
}

#[test]
fn an_object_of_a_static_probe_switches_it_on() {
    if load().is_none() {
        return;
    }
    let rows = attached("by-probe", "usdt:{load}:load:site { @n = sum(1); }");
    assert_eq!(number_in(&rows, "AT_n"), N, "{rows:?}");
}

#[test]
fn an_object_of_many_tracepoints_is_let_go_at_once() {
    if load().is_none() {
        return;
    }
    let script = "tracepoint:syscalls:sys_enter_get* /comm == \"many\"/ { @n = sum(1); }";
    let (rows, said) = attached_and_said("many", script);
    // Three of these calls are the load's own, and what a program's start asks comes once each.
    let counted = number_in(&rows, "AT_n");
    assert!((3 * N..3 * N + 10).contains(&counted), "{counted}");
    assert!(said.contains("a process in the background waits"), "{said}");
    assert!(left_behind() > 0, "it waited for the kernel itself");
}

/// In the kernel, with the object's own data and the kernel's structures.
#[test]
fn functions_of_an_imported_object_run_in_the_kernel() {
    if load().is_none() {
        return;
    }
    let script = "import \"cli/tests/objects/functions.o\";
        tracepoint:syscalls:sys_enter_getppid /group_of(curtask) == cpid/ { count_call(); @low[low(pid + 256) == low(pid)] = count(); @read = letters(comm); }
        end { @calls = calls_so_far(); }";
    let maps = maps(script, &[]);
    assert_eq!(maps["@calls"], 100 + N, "{maps}");
    assert_eq!(maps["@low"]["true"], N, "{maps}");
    assert_eq!(maps["@read"], 4, "{maps}");
}
