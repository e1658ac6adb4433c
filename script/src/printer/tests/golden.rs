use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::env::{Environment, FormatTable, NoFunctions};
use crate::printer::{Action, MapReader, Output, Printer};

/// Maps in memory.
#[derive(Default)]
struct Maps(RefCell<BTreeMap<String, BTreeMap<Vec<u8>, Vec<Vec<u8>>>>>);

impl MapReader for Maps {
    fn entries(&self, map: &str) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
        let maps = self.0.borrow();
        maps.get(map)
            .map(|m| m.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
            .unwrap_or_default()
    }

    fn delete(&self, map: &str, key: &[u8]) {
        if let Some(m) = self.0.borrow_mut().get_mut(map) {
            m.remove(key);
        }
    }

    fn update(&self, map: &str, key: &[u8], cells: &[Vec<u8>]) {
        let mut maps = self.0.borrow_mut();
        maps.entry(map.to_owned())
            .or_default()
            .insert(key.to_vec(), cells.to_vec());
    }
}

fn words(list: &[u64]) -> Vec<u8> {
    list.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn padded(text: &str, bytes: usize) -> Vec<u8> {
    let mut out = text.as_bytes().to_vec();
    out.resize(bytes, 0);
    out
}

fn printer(script: &str) -> Printer {
    let formats = FormatTable::new();
    let env = Environment::new(&formats, &NoFunctions);
    crate::compile_text(script, "t", &env)
        .unwrap_or_else(|e| panic!("{script}\n{e}"))
        .printer
}

fn finish(script: &str, maps: &Maps) -> String {
    let mut out = Vec::new();
    printer(script).finish(maps, &mut out);
    String::from_utf8(out).unwrap()
}

fn finish_json(script: &str, maps: &Maps) -> String {
    let mut p = printer(script);
    p.set_output(Output::Json);
    let mut out = Vec::new();
    p.finish(maps, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn counts_by_key_are_ordered_by_value() {
    let maps = Maps::default();
    for (name, cells) in [("bash", [3, 4]), ("cat", [1, 0]), ("awk", [1, 0])] {
        let cells: Vec<Vec<u8>> = cells.iter().map(|c| words(&[*c])).collect();
        maps.update("AT_x", &padded(name, 16), &cells);
    }
    let script = "begin { @x[comm] = count(); }";
    assert_eq!(
        finish(script, &maps),
        "@x[awk]: 1\n@x[cat]: 1\n@x[bash]: 7\n"
    );
    assert_eq!(
        finish_json(script, &maps),
        "{\"type\": \"map\", \"data\": {\"@x\": {\"awk\": 1, \"cat\": 1, \"bash\": 7}}}\n"
    );
}

#[test]
fn several_keys_and_signed_values() {
    let maps = Maps::default();
    maps.update("AT_", &words(&[1, 2]), &[words(&[(-5i64) as u64])]);
    maps.update("AT_", &words(&[2, 1]), &[words(&[3])]);
    let script = "begin { @[1, 2] = -5; @[2, 1] = 3; }";
    assert_eq!(finish(script, &maps), "@[1, 2]: -5\n@[2, 1]: 3\n");
    assert_eq!(
        finish_json(script, &maps),
        "{\"type\": \"map\", \"data\": {\"@\": {\"1,2\": -5, \"2,1\": 3}}}\n"
    );
}

#[test]
fn stats_and_averages() {
    let maps = Maps::default();
    maps.update("AT_s", &[0; 4], &[words(&[4, 1]), words(&[8, 2])]);
    maps.update("AT_a", &[0; 4], &[words(&[4, 1]), words(&[8, 2])]);
    let script = "begin { @s = stats(1); @a = avg(1); }";
    assert_eq!(
        finish(script, &maps),
        "@a: 4\n@s: { .count = 3, .average = 4, .total = 12 }\n"
    );
    assert_eq!(
        finish_json(script, &maps),
        "{\"type\": \"stats\", \"data\": {\"@a\": 4}}\n{\"type\": \"stats\", \"data\": {\"@s\": {\"count\": 3, \"average\": 4, \"total\": 12}}}\n"
    );
}

#[test]
fn minima_skip_processors_that_saw_nothing() {
    let maps = Maps::default();
    maps.update(
        "AT_m",
        &[0; 4],
        &[words(&[0, 0]), words(&[7, 1]), words(&[9, 1])],
    );
    maps.update(
        "AT_n",
        &[0; 4],
        &[words(&[0, 0]), words(&[7, 1]), words(&[9, 1])],
    );
    assert_eq!(
        finish("begin { @m = min(1); @n = max(1); }", &maps),
        "@m: 7\n@n: 9\n"
    );
}

#[test]
fn histograms() {
    let maps = Maps::default();
    maps.update("AT_h", &words(&[1, 6]), &[words(&[1]), words(&[0])]);
    let script = "begin { @h[1] = hist(16); }";
    assert_eq!(
        finish(script, &maps),
        format!("@h[1]:\n[16, 32)               1 |{}|\n\n", "@".repeat(52))
    );
    assert_eq!(
        finish_json(script, &maps),
        "{\"type\": \"hist\", \"data\": {\"@h\": {\"1\": [{\"min\": 16, \"max\": 31, \"count\": 1}]}}}\n"
    );
}

#[test]
fn records_of_printf_and_print() {
    let mut p = printer(
        "begin { printf(\"%s|%-5d|%5x|%c|%%\\n\", comm, pid, 255, 65); print((1, \"a\", (2, -3))); exit(3); }",
    );
    let maps = Maps::default();
    let mut out = Vec::new();
    let mut record = words(&[0]);
    record.extend(padded("bash", 16));
    record.extend(words(&[42, 255, 65]));
    assert_eq!(p.record(&record, &maps, &mut out), Action::Continue);
    let mut record = words(&[1, 1]);
    record.extend(padded("a", 8));
    record.extend(words(&[2, (-3i64) as u64]));
    assert_eq!(p.record(&record, &maps, &mut out), Action::Continue);
    assert_eq!(p.record(&words(&[2, 3]), &maps, &mut out), Action::Exit(3));
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "bash|42   |   ff|A|%\n(1, a, (2, -3))\n"
    );
}

#[test]
fn records_of_any_shape_are_harmless() {
    let mut p = printer(
        "begin { printf(\"%s %d\\n\", comm, pid); print((1, \"a\")); print(buf(\"abc\", 3)); print(kstack); }",
    );
    let maps = Maps::default();
    for n in 0..8 {
        for len in 0..64 {
            let mut bytes = words(&[n, u64::MAX, u64::MAX, 5, 6, 7, 8, 9]);
            bytes.truncate(len);
            let mut out = Vec::new();
            p.record(&bytes, &maps, &mut out);
        }
    }
}

#[test]
fn clearing_and_zeroing() {
    let mut p =
        printer("begin { @k[1] = 1; @s = count(); clear(@k); zero(@s); print(@k); print(@s); }");
    let maps = Maps::default();
    maps.update("AT_k", &words(&[1]), &[words(&[1])]);
    maps.update("AT_s", &[0; 4], &[words(&[5]), words(&[6])]);
    let mut out = Vec::new();
    for n in 0..4 {
        p.record(&words(&[n]), &maps, &mut out);
    }
    assert_eq!(String::from_utf8(out).unwrap(), "@s: 0\n");
}
