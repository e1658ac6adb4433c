//! Whole maps: reading, ordering, printing and clearing them.

use super::value::{Value, word};
use super::{MapReader, Output, Printer, hist, json, series};
use crate::codegen::map_name;
use crate::types::{Agg, Ty};

/// What an entry's cells come to.
#[derive(Clone, Debug, PartialEq)]
enum Total {
    Value(Value),
    /// Count, average, total.
    Stats(u64, Value, Value),
    Hist(Vec<hist::Row>),
    Series(Vec<series::Point>),
}

struct Entry {
    key: Vec<Value>,
    total: Total,
}

impl Printer {
    /// A map without keys that collects, and that nothing came to: never, or not since it was deleted.
    pub(super) fn is_untouched(&self, n: usize, maps: &dyn MapReader) -> bool {
        let Some(def) = self.maps.get(n) else {
            return true;
        };
        match def.value {
            // The sum of nothing and the sum of zeros look the same.
            Ty::Agg(Agg::Sum { .. }) => false,
            Ty::Agg(_) if def.keys.is_empty() => maps
                .entries(&map_name(&def.name))
                .iter()
                .all(|(_, cells)| cells.iter().flatten().all(|b| *b == 0)),
            _ => false,
        }
    }

    pub(super) fn print_map(
        &self,
        n: usize,
        top: Option<u64>,
        div: u64,
        maps: &dyn MapReader,
        out: &mut Vec<u8>,
    ) {
        let Some(def) = self.maps.get(n) else { return };
        let keyed = !def.keys.is_empty();
        let mut entries = self.read_map(n, div, maps);
        sort(&mut entries, &def.value);
        if let (Some(top), true) = (top, keyed) {
            let skip = entries
                .len()
                .saturating_sub(usize::try_from(top).unwrap_or(usize::MAX));
            entries.drain(..skip);
        }
        self.print_entries(n, entries, div, out);
    }

    /// The entry with a key of these types.
    pub(super) fn print_entry(
        &self,
        n: usize,
        types: &[Ty],
        key: &[u8],
        maps: &dyn MapReader,
        out: &mut Vec<u8>,
    ) {
        let mut wanted = self.decode_key(types, key, maps);
        if let [Value::Tuple(items)] = wanted.as_slice() {
            wanted = items.clone();
        }
        let mut entries = self.read_map(n, 1, maps);
        entries.retain(|e| compare_all(&e.key, &wanted).is_eq());
        self.print_entries(n, entries, 1, out);
    }

    fn print_entries(&self, n: usize, mut entries: Vec<Entry>, div: u64, out: &mut Vec<u8>) {
        let Some(def) = self.maps.get(n) else { return };
        let name = format!("@{}", def.name);
        let keyed = !def.keys.is_empty();
        // A histogram that took nothing has no rows to show.
        entries.retain(|e| {
            !matches!(&e.total, Total::Hist(rows) if rows.is_empty())
                && !matches!(&e.total, Total::Series(points) if points.is_empty())
        });
        let time =
            |start: u64| self.local_time("%H:%M:%S.%f", self.clock_start + i128::from(start));
        let agg = match def.value {
            Ty::Agg(a) => a,
            _ => Agg::Count,
        };
        match self.output {
            Output::Text => {
                for e in &entries {
                    out.extend(name.bytes());
                    if keyed {
                        out.push(b'[');
                        for (i, k) in e.key.iter().enumerate() {
                            if i > 0 {
                                out.extend_from_slice(b", ");
                            }
                            out.extend(k.key_text());
                        }
                        out.push(b']');
                    }
                    out.push(b':');
                    match &e.total {
                        Total::Value(v) => {
                            out.push(b' ');
                            out.extend(v.text());
                        }
                        Total::Stats(count, average, total) => {
                            out.extend(format!(" {{ .count = {count}, .average = ").bytes());
                            out.extend(average.text());
                            out.extend_from_slice(b", .total = ");
                            out.extend(total.text());
                            out.extend_from_slice(b" }");
                        }
                        Total::Hist(rows) => {
                            out.push(b'\n');
                            out.extend(hist::text(agg, rows, div).bytes());
                        }
                        Total::Series(points) => {
                            out.push(b'\n');
                            out.extend(series::text(points, &time).bytes());
                        }
                    }
                    out.push(b'\n');
                }
            }
            Output::Json => {
                if !keyed && entries.is_empty() {
                    return;
                }
                let kind = match def.value {
                    Ty::Agg(Agg::Hist { .. } | Agg::Lhist { .. }) => "hist",
                    Ty::Agg(Agg::Avg { .. } | Agg::Stats { .. }) => "stats",
                    Ty::Agg(Agg::Series { .. }) => "tseries",
                    _ => "map",
                };
                let one = |e: &Entry| match &e.total {
                    Total::Value(v) => v.json(),
                    Total::Stats(count, average, total) => format!(
                        "{{\"count\": {count}, \"average\": {}, \"total\": {}}}",
                        average.json(),
                        total.json()
                    ),
                    Total::Hist(rows) => hist::json(rows, div),
                    Total::Series(points) => series::json(points, &time),
                };
                let data = if keyed {
                    let parts: Vec<String> = entries
                        .iter()
                        .map(|e| {
                            let key: Vec<Vec<u8>> = e.key.iter().map(Value::json_key).collect();
                            format!("{}: {}", json::quoted(&key.join(&b',')), one(e))
                        })
                        .collect();
                    format!("{{{}}}", parts.join(", "))
                } else {
                    entries.first().map(one).unwrap_or_default()
                };
                out.extend(
                    format!(
                        "{{\"type\": \"{kind}\", \"data\": {{{}: {data}}}}}\n",
                        json::quoted(name.as_bytes())
                    )
                    .bytes(),
                );
            }
        }
    }

    fn read_map(&self, n: usize, div: u64, maps: &dyn MapReader) -> Vec<Entry> {
        let def = &self.maps[n];
        let raw = maps.entries(&map_name(&def.name));
        let key_bytes: usize = def.keys.iter().map(|t| t.stored() as usize).sum();
        if let Ty::Agg(Agg::Series {
            interval,
            count,
            op,
            signed,
        }) = def.value
        {
            let mut found: Vec<(Vec<u8>, Vec<Vec<u8>>)> = Vec::new();
            for (key, cells) in raw {
                let user = match def.keys.is_empty() {
                    true => &[][..],
                    false => key.get(..key_bytes).unwrap_or_default(),
                };
                match found.iter_mut().find(|(k, _)| k == user) {
                    Some((_, all)) => all.extend(cells),
                    None => found.push((user.to_vec(), cells)),
                }
            }
            return found
                .into_iter()
                .map(|(key, cells)| Entry {
                    key: self.decode_key(&def.keys, &key, maps),
                    total: Total::Series(series::points(interval, count, (op, signed), &cells)),
                })
                .collect();
        }
        if let Ty::Agg(agg) = def.value
            && agg.buckets().is_some()
        {
            // Buckets of one key, in the order in which the keys are met.
            let mut found: Vec<(Vec<u8>, Vec<(u64, u64)>)> = Vec::new();
            for (key, cells) in raw {
                let (user, bucket) = if def.keys.is_empty() {
                    (&[][..], u64::from(word(&key, 0) as u32))
                } else {
                    (
                        key.get(..key_bytes).unwrap_or_default(),
                        word(&key, key_bytes),
                    )
                };
                let count = cells.iter().fold(0u64, |s, c| s.wrapping_add(word(c, 0)));
                match found.iter_mut().find(|(k, _)| k == user) {
                    Some((_, buckets)) => buckets.push((bucket, count)),
                    None => found.push((user.to_vec(), vec![(bucket, count)])),
                }
            }
            return found
                .into_iter()
                .map(|(key, buckets)| Entry {
                    key: self.decode_key(&def.keys, &key, maps),
                    total: Total::Hist(hist::rows(agg, &buckets)),
                })
                .collect();
        }
        raw.into_iter()
            .map(|(key, cells)| Entry {
                key: self.decode_key(&def.keys, &key, maps),
                total: self.total(&def.value, &cells, div, maps),
            })
            .collect()
    }

    fn decode_key(&self, types: &[Ty], bytes: &[u8], maps: &dyn MapReader) -> Vec<Value> {
        let mut at = 0usize;
        types
            .iter()
            .map(|t| {
                let v = self.decode(t, bytes.get(at..).unwrap_or_default(), maps);
                at += t.stored() as usize;
                v
            })
            .collect()
    }

    fn total(&self, ty: &Ty, cells: &[Vec<u8>], div: u64, maps: &dyn MapReader) -> Total {
        let int = |v: i64, signed: bool| {
            if signed {
                Value::Int(v.wrapping_div(i64::try_from(div).unwrap_or(i64::MAX).max(1)))
            } else {
                Value::Uint(v as u64 / div.max(1))
            }
        };
        let sum = |at: usize| {
            cells
                .iter()
                .fold(0i64, |s, c| s.wrapping_add(word(c, at) as i64))
        };
        let Ty::Agg(agg) = ty else {
            let bytes = cells.first().map_or(&[][..], Vec::as_slice);
            let v = self.decode(ty, bytes, maps);
            return Total::Value(match v {
                Value::Int(n) if div > 1 => int(n, true),
                Value::Uint(n) if div > 1 => int(n as i64, false),
                other => other,
            });
        };
        match *agg {
            Agg::Sum { signed } => Total::Value(int(sum(0), signed)),
            Agg::Min { signed } | Agg::Max { signed } => {
                let set = cells.iter().filter(|c| word(c, 8) != 0).map(|c| word(c, 0));
                let least = matches!(agg, Agg::Min { .. });
                let best = if signed {
                    let set = set.map(|v| v as i64);
                    if least { set.min() } else { set.max() }
                } else if least {
                    set.min().map(|v| v as i64)
                } else {
                    set.max().map(|v| v as i64)
                };
                Total::Value(int(best.unwrap_or(0), signed))
            }
            Agg::Avg { signed } | Agg::Stats { signed } => {
                let (total, count) = (sum(0), sum(8) as u64);
                let average = match (count, signed) {
                    (0, _) => 0,
                    (n, true) => total / n as i64,
                    (n, false) => (total as u64 / n) as i64,
                };
                if matches!(agg, Agg::Avg { .. }) {
                    Total::Value(int(average, signed))
                } else {
                    Total::Stats(count, int(average, signed), int(total, signed))
                }
            }
            _ => Total::Value(int(sum(0), true)),
        }
    }

    pub(super) fn clear_map(&self, n: usize, maps: &dyn MapReader) {
        let Some(def) = self.maps.get(n) else { return };
        if def.keys.is_empty() {
            return self.zero_map(n, maps);
        }
        let name = map_name(&def.name);
        for (key, _) in maps.entries(&name) {
            maps.delete(&name, &key);
        }
    }

    pub(super) fn zero_map(&self, n: usize, maps: &dyn MapReader) {
        let Some(def) = self.maps.get(n) else { return };
        let name = map_name(&def.name);
        for (key, cells) in maps.entries(&name) {
            let zeros: Vec<Vec<u8>> = cells.iter().map(|c| vec![0; c.len()]).collect();
            maps.update(&name, &key, &zeros);
        }
    }
}

/// By value for numbers and what numbers come to, otherwise by key.
fn sort(entries: &mut [Entry], ty: &Ty) {
    entries.sort_by(|a, b| compare_all(&a.key, &b.key));
    let by_value = match ty {
        Ty::Int { .. } | Ty::Bool | Ty::Enum(_) | Ty::Unknown => true,
        Ty::Agg(a) => a.buckets().is_none(),
        _ => false,
    };
    if by_value {
        entries.sort_by_key(|e| match &e.total {
            Total::Value(v) => v.number().unwrap_or(0),
            Total::Stats(_, average, _) => average.number().unwrap_or(0),
            Total::Hist(_) | Total::Series(_) => 0,
        });
    }
}

fn compare_all(a: &[Value], b: &[Value]) -> std::cmp::Ordering {
    a.iter()
        .zip(b)
        .map(|(x, y)| compare(x, y))
        .find(|o| o.is_ne())
        .unwrap_or_else(|| a.len().cmp(&b.len()))
}

fn compare(a: &Value, b: &Value) -> std::cmp::Ordering {
    match (a, b) {
        (Value::Uint(x), Value::Uint(y)) | (Value::Pointer(x), Value::Pointer(y)) => x.cmp(y),
        (Value::Str(x), Value::Str(y)) | (Value::Buf(x), Value::Buf(y)) => x.cmp(y),
        (Value::Tuple(x), Value::Tuple(y)) | (Value::Array(x), Value::Array(y)) => {
            compare_all(x, y)
        }
        (Value::Record(x), Value::Record(y)) => x
            .iter()
            .zip(y)
            .map(|((_, v), (_, w))| compare(v, w))
            .find(|o| o.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal),
        (Value::Stack(x), Value::Stack(y)) => x.cmp(y),
        _ => a.number().cmp(&b.number()),
    }
}
