//! Records and maps of a running script → what bpftrace prints, as text or as JSON lines.
//!
//! **Invariant:** records and map contents are data of any shape: what is too short reads as zeros.

mod hist;
mod json;
mod maps;
mod series;
mod strftime;
mod text;
mod value;

use std::sync::Arc;

use crate::codegen::{GLOBALS, globals};
use crate::event::{Event, MessageKind};
use crate::hir::MapDef;
use crate::recording::Recorded;
use crate::spec::Format;
use crate::types::Ty;

pub use strftime::strftime;
pub(crate) use value::word;

/// Entries of maps, wherever they are.
pub trait MapReader {
    /// Every key with its value: one cell, or one a processor.
    fn entries(&self, map: &str) -> Vec<(Vec<u8>, Vec<Vec<u8>>)>;
    fn lookup(&self, map: &str, key: &[u8]) -> Option<Vec<Vec<u8>>> {
        self.entries(map)
            .into_iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v)
    }
    fn delete(&self, map: &str, key: &[u8]);
    fn update(&self, map: &str, key: &[u8], cells: &[Vec<u8>]);
}

/// What the printer asks of the machine: names for numbers, and the time.
pub trait Host {
    fn kernel_symbol(&self, _address: u64) -> Option<Symbol> {
        None
    }
    fn user_symbol(&self, _pid: u32, _address: u64) -> Option<Symbol> {
        None
    }
    fn user_name(&self, _uid: u32) -> Option<String> {
        None
    }
    /// The name of a process that runs.
    fn process_name(&self, _pid: u32) -> Option<String> {
        None
    }
    fn cgroup_path(&self, _id: u64) -> Option<String> {
        None
    }
    /// Nanoseconds since 1970, now.
    fn wall_clock(&self) -> i128;
    /// Nanoseconds since 1970 when the script's clock showed 0.
    fn clock_start(&self) -> i128;
    /// Seconds that local time is ahead of UTC at this time.
    fn utc_offset(&self, _unix_seconds: i64) -> i32 {
        0
    }
}

/// A name for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    pub name: String,
    pub offset: u64,
    /// File or kernel module.
    pub module: Option<String>,
}

/// A machine of which nothing is known; its time is 1970.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHost;

impl Host for NoHost {
    fn wall_clock(&self) -> i128 {
        0
    }

    fn clock_start(&self) -> i128 {
        0
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What the caller does after a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Continue,
    /// The script ends with this status.
    Exit(i32),
    /// The file is to be printed through [`Printer::cat`].
    Cat(String),
    /// The watchpoints at this address are to be detached.
    Unwatch(u64),
    /// The packet is to be written to a capture file.
    Packet(Packet),
    /// The command's output is to be printed through [`Printer::system`].
    System(String),
}

/// A packet for a capture file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub path: String,
    /// Nanoseconds since 1970.
    pub time: i128,
    /// How long it is, as a whole.
    pub length: u32,
    pub bytes: Vec<u8>,
}

/// What did not arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Records for which the ring buffer had no room.
    pub events: u64,
    /// Updates that maps refused, most often because they were full.
    pub map_updates: u64,
}

/// Turns records and maps into output.
#[derive(Clone)]
pub struct Printer {
    pub(crate) events: Vec<Event>,
    pub(crate) maps: Vec<MapDef>,
    pub(crate) probes: Vec<String>,
    pub(crate) output: Output,
    pub(crate) print_maps_on_exit: bool,
    pub(crate) max_strlen: u32,
    pub(crate) trailer: String,
    pub(crate) host: Arc<dyn Host + Send + Sync>,
    /// Asked of the host once: two answers would differ by the clocks' drift.
    pub(crate) clock_start: i128,
    /// Events that are said once and were.
    pub(crate) said: std::collections::HashSet<u64>,
    /// Errors that the script has said.
    pub(crate) errors: u64,
}

impl std::fmt::Debug for Printer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Printer({} events, {} maps)",
            self.events.len(),
            self.maps.len()
        )
    }
}

impl Printer {
    pub fn set_output(&mut self, output: Output) {
        self.output = output;
    }

    /// Whether the script's programs ever send a record.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// How many errors the script has said (`errorf`, `assert`).
    pub fn errors(&self) -> u64 {
        self.errors
    }

    pub fn set_host(&mut self, host: Arc<dyn Host + Send + Sync>) {
        self.clock_start = host.clock_start();
        self.host = host;
    }

    /// Prints one record of the ring buffer.
    pub fn record(&mut self, bytes: &[u8], maps: &dyn MapReader, out: &mut Vec<u8>) -> Action {
        let number = value::word(bytes, 0);
        let Some(event) = usize::try_from(number)
            .ok()
            .and_then(|n| self.events.get(n))
        else {
            return Action::Continue;
        };
        match event {
            Event::Printf { format, args } => {
                let text = self.formatted(format, args, bytes, maps);
                self.text("printf", &text, out);
            }
            Event::Message {
                kind: MessageKind::Runtime,
                ..
            } if !self.said.insert(number) => {}
            Event::Message {
                kind,
                format,
                args,
                place,
                json,
                excerpt,
            } => {
                if *kind == MessageKind::Error {
                    self.errors += 1;
                }
                let text = self.formatted(format, args, bytes, maps);
                let text = String::from_utf8_lossy(&text).into_owned();
                match self.output {
                    Output::Text => {
                        let word = match kind {
                            MessageKind::Error => "ERROR",
                            _ => "WARNING",
                        };
                        out.extend(
                            format!(
                                "{place}: {word}: {}\n{excerpt}\n",
                                text.trim_end_matches('\n')
                            )
                            .bytes(),
                        );
                    }
                    Output::Json => {
                        let kind = match kind {
                            MessageKind::Error => "errorf",
                            MessageKind::Warning => "warnf",
                            MessageKind::Runtime => "runtime_error",
                            MessageKind::Helper => "helper_error",
                        };
                        out.extend(
                            format!(
                                "{{\"type\": \"{kind}\", \"msg\": {}, \"filename\": {}, \"line\": {}, \"col\": {}}}\n",
                                json::quoted(text.as_bytes()),
                                json::quoted(json.0.as_bytes()),
                                json.1,
                                json.2
                            )
                            .bytes(),
                        );
                    }
                }
            }
            Event::Cat { format, args } => {
                let text = self.formatted(format, args, bytes, maps);
                return Action::Cat(String::from_utf8_lossy(&text).into_owned());
            }
            Event::System { format, args } => {
                let text = self.formatted(format, args, bytes, maps);
                return Action::System(String::from_utf8_lossy(&text).into_owned());
            }
            Event::Print(ty) => {
                let v = self.decode(ty, bytes.get(8..).unwrap_or_default(), maps);
                match self.output {
                    Output::Text => {
                        out.extend(v.text());
                        out.push(b'\n');
                    }
                    Output::Json => {
                        out.extend(
                            format!("{{\"type\": \"value\", \"data\": {}}}\n", v.json()).bytes(),
                        );
                    }
                }
            }
            Event::PrintMap { map, top, div } => self.print_map(*map, *top, *div, maps, out),
            Event::PrintEntry { map, key } => {
                self.print_entry(*map, key, bytes.get(8..).unwrap_or_default(), maps, out);
            }
            Event::Clear { map } => self.clear_map(*map, maps),
            Event::Zero { map } => self.zero_map(*map, maps),
            Event::Time(format) => {
                let text = self.local_time(format, self.host.wall_clock());
                self.text("time", text.as_bytes(), out);
            }
            Event::Join {
                count,
                bytes: size,
                separator,
            } => {
                let mut parts: Vec<Vec<u8>> = Vec::new();
                let each = Ty::Str(*size).stored() as usize;
                for n in 0..*count as usize {
                    let at = 8 + n * each;
                    let part =
                        value::c_string(bytes.get(at..at + each).unwrap_or_default()).to_vec();
                    if part.is_empty() {
                        break;
                    }
                    parts.push(part);
                }
                let mut text = parts.join(separator.as_bytes());
                if self.output == Output::Text {
                    text.push(b'\n');
                }
                self.text("join", &text, out);
            }
            // For whoever records ([`Printer::recorded`]).
            Event::Sample { .. } | Event::Read { .. } => {}
            Event::Unwatch => return Action::Unwatch(value::word(bytes, 8)),
            Event::Packet { path } => {
                let most = bytes.len().saturating_sub(32);
                let kept = (value::word(bytes, 24) as usize).min(most);
                return Action::Packet(Packet {
                    path: path.clone(),
                    time: self.clock_start + i128::from(value::word(bytes, 8)),
                    length: u32::try_from(value::word(bytes, 16)).unwrap_or(0),
                    bytes: bytes.get(32..32 + kept).unwrap_or_default().to_vec(),
                });
            }
            Event::Exit => return Action::Exit(value::word(bytes, 8) as i32),
        }
        Action::Continue
    }

    /// What a recording program sent; `None` for any other record.
    pub fn recorded<'a>(&self, record: &'a [u8]) -> Option<Recorded<'a>> {
        crate::recording::recorded(&self.events, record)
    }

    /// Prints what is left at the end: every map.
    pub fn finish(&mut self, maps: &dyn MapReader, out: &mut Vec<u8>) {
        if !self.print_maps_on_exit {
            return;
        }
        let mut order: Vec<usize> = (0..self.maps.len()).collect();
        order.sort_by(|a, b| self.maps[*a].name.cmp(&self.maps[*b].name));
        for n in order {
            if !self.is_untouched(n, maps) {
                self.print_map(n, None, 1, maps, out);
            }
        }
    }

    /// What was lost since the script's start.
    pub fn losses(&self, maps: &dyn MapReader) -> Losses {
        let cells = maps
            .lookup(GLOBALS, &0u32.to_le_bytes())
            .unwrap_or_default();
        let bytes = cells.first().map_or(&[][..], Vec::as_slice);
        Losses {
            events: value::word(bytes, globals::LOST as usize),
            map_updates: value::word(bytes, globals::FAILED_UPDATES as usize),
        }
    }

    /// The line that says how many probes were attached; in text it goes to the error output.
    pub fn attached(&self, probes: usize, out: &mut Vec<u8>) {
        let line = match self.output {
            Output::Text => format!(
                "Attached {probes} probe{}\n",
                if probes == 1 { "" } else { "s" }
            ),
            Output::Json => format!(
                "{{\"type\": \"attached_probes\", \"count\": {probes}, \"data\": {{\"probes\": {probes}}}}}\n"
            ),
        };
        out.extend(line.bytes());
    }

    /// The line that says how many records were lost; in text it goes to the error output.
    pub fn lost(&self, events: u64, out: &mut Vec<u8>) {
        let line = match self.output {
            Output::Text => format!("Lost {events} events\n"),
            Output::Json => {
                format!(
                    "{{\"type\": \"lost_events\", \"count\": {events}, \"data\": {{\"events\": {events}}}}}\n"
                )
            }
        };
        out.extend(line.bytes());
    }

    /// Prints a file asked for by [`Action::Cat`].
    pub fn cat(&self, content: &[u8], out: &mut Vec<u8>) {
        self.text("cat", content, out);
    }

    /// Prints the output of a command asked for by [`Action::System`].
    pub fn system(&self, content: &[u8], out: &mut Vec<u8>) {
        self.text("syscall", content, out);
    }

    fn text(&self, kind: &str, text: &[u8], out: &mut Vec<u8>) {
        match self.output {
            Output::Text => out.extend_from_slice(text),
            Output::Json => {
                out.extend(
                    format!(
                        "{{\"type\": \"{kind}\", \"data\": {}}}\n",
                        json::quoted(text)
                    )
                    .bytes(),
                );
            }
        }
    }

    fn local_time(&self, format: &str, unix_ns: i128) -> String {
        let seconds = unix_ns.div_euclid(1_000_000_000) as i64;
        let ns = unix_ns.rem_euclid(1_000_000_000) as u32;
        strftime(format, seconds, ns, self.host.utc_offset(seconds))
    }

    fn formatted(
        &self,
        format: &Format,
        args: &[Ty],
        bytes: &[u8],
        maps: &dyn MapReader,
    ) -> Vec<u8> {
        let mut at = 8usize;
        let values: Vec<value::Value> = args
            .iter()
            .map(|ty| {
                let v = self.decode(ty, bytes.get(at..).unwrap_or_default(), maps);
                at += ty.stored() as usize;
                v
            })
            .collect();
        text::format(format, &values)
    }
}

#[cfg(test)]
mod tests;
