//! Stored bytes → values that can be printed.

use super::{MapReader, Printer, Symbol, json};
use crate::codegen::{UNWOUND, stacks_of};
use crate::types::{Layout, StackMode, StackTy, Ty};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Int(i64),
    Uint(u64),
    Bool(bool),
    Pointer(u64),
    Str(Vec<u8>),
    Buf(Vec<u8>),
    /// A number with a name.
    Named(i64, String),
    Tuple(Vec<Value>),
    Record(Vec<(String, Value)>),
    Array(Vec<Value>),
    /// One frame a line.
    Stack(Vec<String>),
}

/// The word at a byte; 0 where there is none.
pub(crate) fn word(bytes: &[u8], at: usize) -> u64 {
    let mut w = [0u8; 8];
    let end = at.saturating_add(8).min(bytes.len());
    if at < end {
        w[..end - at].copy_from_slice(&bytes[at..end]);
    }
    u64::from_le_bytes(w)
}

/// Up to the first NUL.
pub(super) fn c_string(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    &bytes[..end]
}

impl Printer {
    pub(super) fn decode(&self, ty: &Ty, bytes: &[u8], maps: &dyn MapReader) -> Value {
        let w = word(bytes, 0);
        match ty {
            Ty::Int { signed: true, .. } | Ty::Unknown => Value::Int(w as i64),
            Ty::Int { signed: false, .. } => Value::Uint(w),
            Ty::Bool => Value::Bool(w != 0),
            Ty::Ptr(..) | Ty::Struct(..) | Ty::Array(..) => Value::Pointer(w),
            Ty::Enum(e) => {
                let n = w as i64;
                match e.values.iter().find(|(_, v)| *v == n) {
                    Some((name, _)) => Value::Named(n, name.clone()),
                    None => Value::Int(n),
                }
            }
            Ty::Str(n) => {
                let room = (*n as usize).min(bytes.len());
                let mut s = c_string(&bytes[..room]).to_vec();
                if *n == self.max_strlen && s.len() + 1 >= *n as usize {
                    s.extend_from_slice(self.trailer.as_bytes());
                }
                Value::Str(s)
            }
            Ty::Buf(n) => {
                let len = usize::try_from(w).unwrap_or(usize::MAX).min(*n as usize);
                let data = bytes.get(8..).unwrap_or_default();
                Value::Buf(data[..len.min(data.len())].to_vec())
            }
            Ty::Tuple(items) => Value::Tuple(self.decode_all(items.iter(), bytes, maps)),
            Ty::Record(items) => {
                let values = self.decode_all(items.iter().map(|(_, t)| t), bytes, maps);
                Value::Record(items.iter().map(|(n, _)| n.clone()).zip(values).collect())
            }
            Ty::Stack(s) if s.mode == StackMode::Folded => {
                let frames = self.stack(*s, w as i64, word(bytes, 8), maps);
                let folded: String = frames.iter().rev().map(|f| format!(";{f}")).collect();
                Value::Str(folded.into_bytes())
            }
            Ty::Stack(s) => Value::Stack(self.stack(*s, w as i64, word(bytes, 8), maps)),
            Ty::Ksym => Value::Str(self.ksym(w).into_bytes()),
            Ty::Usym => {
                let pid = word(bytes, 8) as u32;
                let text = match self.host.user_symbol(pid, w) {
                    Some(s) => s.name,
                    None => format!("{w:#x}"),
                };
                Value::Str(text.into_bytes())
            }
            Ty::Inet => Value::Str(inet(w, word(bytes, 8), word(bytes, 16)).into_bytes()),
            Ty::Mac => {
                let parts: Vec<String> = w.to_le_bytes()[..6]
                    .iter()
                    .map(|b| format!("{b:02X}"))
                    .collect();
                Value::Str(parts.join(":").into_bytes())
            }
            Ty::Timestamp(format) => Value::Str(
                self.local_time(format, self.clock_start + i128::from(w))
                    .into_bytes(),
            ),
            Ty::ProbeName => {
                let name = usize::try_from(w).ok().and_then(|n| self.probes.get(n));
                Value::Str(name.cloned().unwrap_or_default().into_bytes())
            }
            Ty::Username => {
                let text = self
                    .host
                    .user_name(w as u32)
                    .unwrap_or_else(|| format!("{}", w as u32));
                Value::Str(text.into_bytes())
            }
            Ty::Word(words) => {
                let n = i64::from(w as i32);
                let text = words
                    .iter()
                    .find(|(v, _)| *v == n)
                    .or(words.last())
                    .map_or("", |(_, t)| t);
                Value::Str(text.as_bytes().to_vec())
            }
            Ty::CgroupPath => {
                let text = self
                    .host
                    .cgroup_path(w)
                    .unwrap_or_else(|| format!("cgroup:{w}"));
                Value::Str(text.into_bytes())
            }
            Ty::ProcessName => {
                let text = self
                    .host
                    .process_name(w as u32)
                    .unwrap_or_else(|| format!("{}", w as u32));
                Value::Str(text.into_bytes())
            }
            Ty::Mem(m) => of_layout(&m.layout, bytes.get(..m.bytes as usize).unwrap_or(bytes)),
            Ty::Void | Ty::Agg(_) => Value::Uint(w),
        }
    }

    fn decode_all<'t>(
        &self,
        types: impl Iterator<Item = &'t Ty>,
        bytes: &[u8],
        maps: &dyn MapReader,
    ) -> Vec<Value> {
        let mut at = 0usize;
        types
            .map(|t| {
                let v = self.decode(t, bytes.get(at..).unwrap_or_default(), maps);
                at += t.stored() as usize;
                v
            })
            .collect()
    }

    fn ksym(&self, address: u64) -> String {
        match self.host.kernel_symbol(address) {
            Some(s) => s.name,
            None => format!("{address:#x}"),
        }
    }

    /// `of`: the process and, above 32 bits, how many frames are kept.
    fn stack(&self, ty: StackTy, id: i64, of: u64, maps: &dyn MapReader) -> Vec<String> {
        let (pid, limit) = (of as u32, (of >> 32) as u32);
        let cells = match (ty.unwound, u32::try_from(id)) {
            (true, _) => maps.lookup(UNWOUND, &id.to_le_bytes()),
            (false, Ok(id)) => maps.lookup(&stacks_of(limit), &id.to_le_bytes()),
            (false, Err(_)) => None,
        };
        let cells = cells.unwrap_or_default();
        let bytes = cells.first().map_or(&[][..], Vec::as_slice);
        let frames = bytes
            .chunks_exact(8)
            .map(|c| word(c, 0))
            .take_while(|a| *a != 0);
        frames
            .take(ty.limit as usize)
            .map(|address| {
                let symbol = if ty.kernel {
                    self.host.kernel_symbol(address)
                } else {
                    self.host.user_symbol(pid, address)
                };
                frame(ty.mode, address, symbol)
            })
            .collect()
    }
}

/// What the bytes of a C value say.
fn of_layout(layout: &Layout, bytes: &[u8]) -> Value {
    let number = |size: u8, signed: bool| {
        let raw = word(bytes.get(..usize::from(size)).unwrap_or(bytes), 0);
        let up = 64 - u32::from(size.clamp(1, 8)) * 8;
        if signed {
            Value::Int(((raw << up) as i64) >> up)
        } else {
            Value::Uint(raw)
        }
    };
    match layout {
        Layout::Int { bytes, signed } => number(*bytes, *signed),
        Layout::Bool => Value::Bool(bytes.first().is_some_and(|b| *b != 0)),
        Layout::Enum(e) => {
            let n = i64::from(word(bytes.get(..4).unwrap_or(bytes), 0) as i32);
            match e.values.iter().find(|(_, v)| *v == n) {
                Some((name, _)) => Value::Named(n, name.clone()),
                None => Value::Int(n),
            }
        }
        Layout::Ptr => Value::Pointer(word(bytes, 0)),
        Layout::Text(n) => {
            let room = (*n as usize).min(bytes.len());
            Value::Str(c_string(&bytes[..room]).to_vec())
        }
        Layout::Array { count, stride, of } => {
            let stride = (*stride as usize).max(1);
            let items = bytes.chunks(stride).take(*count as usize);
            Value::Array(items.map(|b| of_layout(of, b)).collect())
        }
        Layout::Struct(fields) => Value::Record(
            fields
                .iter()
                .map(|f| {
                    let rest = bytes.get(f.offset as usize..).unwrap_or_default();
                    let v = match f.bits {
                        None => of_layout(&f.layout, rest),
                        Some((start, width)) => {
                            let up = 64u32.saturating_sub(start + width).min(63);
                            let left = word(rest, 0) << up;
                            let down = 64u32.saturating_sub(width).min(63);
                            match &f.layout {
                                Layout::Int { signed: true, .. } => {
                                    Value::Int((left as i64) >> down)
                                }
                                Layout::Bool => Value::Bool(left >> down != 0),
                                _ => Value::Uint(left >> down),
                            }
                        }
                    };
                    (f.name.clone(), v)
                })
                .collect(),
        ),
        Layout::Opaque => Value::Str(b"?".to_vec()),
    }
}

fn frame(mode: StackMode, address: u64, symbol: Option<Symbol>) -> String {
    let named = |s: &Symbol| format!("{}+{}", s.name, s.offset);
    match (mode, symbol) {
        (StackMode::Raw | StackMode::BuildId, _) => format!("{address:x}"),
        (StackMode::Perf, Some(s)) => {
            let module = s
                .module
                .as_ref()
                .map_or(String::new(), |m| format!(" ({m})"));
            format!("{address:x} {}{module}", named(&s))
        }
        (StackMode::Perf, None) => format!("{address:x} 0x{address:x}"),
        (StackMode::Folded, Some(s)) => s.name.replace(';', ":"),
        (StackMode::Bpftrace, Some(s)) => named(&s),
        (StackMode::Bpftrace | StackMode::Folded, None) => format!("{address:#x}"),
    }
}

fn inet(family: u64, low: u64, high: u64) -> String {
    /// `AF_INET6`.
    const AF_INET6: u64 = 10;
    if family == AF_INET6 {
        let mut b = [0u8; 16];
        b[..8].copy_from_slice(&low.to_le_bytes());
        b[8..].copy_from_slice(&high.to_le_bytes());
        return std::net::Ipv6Addr::from(b).to_string();
    }
    let b = (low as u32).to_le_bytes();
    std::net::Ipv4Addr::from(b).to_string()
}

impl Value {
    pub(super) fn number(&self) -> Option<i64> {
        Some(match self {
            Value::Int(v) | Value::Named(v, _) => *v,
            Value::Uint(v) | Value::Pointer(v) => *v as i64,
            Value::Bool(b) => i64::from(*b),
            _ => return None,
        })
    }

    /// As `print` shows it.
    pub(super) fn text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out, 8);
        out
    }

    /// As it stands in a map's brackets.
    pub(super) fn key_text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out, 4);
        out
    }

    fn write(&self, out: &mut Vec<u8>, indent: usize) {
        match self {
            Value::Int(v) => out.extend(v.to_string().bytes()),
            Value::Uint(v) => out.extend(v.to_string().bytes()),
            Value::Bool(v) => out.extend(v.to_string().bytes()),
            Value::Pointer(v) => out.extend(format!("{v:#x}").bytes()),
            Value::Str(s) => out.extend_from_slice(s),
            Value::Buf(b) => out.extend(escaped(b).bytes()),
            Value::Named(_, name) => out.extend(name.bytes()),
            Value::Tuple(items) => {
                out.push(b'(');
                for (n, v) in items.iter().enumerate() {
                    if n > 0 {
                        out.extend_from_slice(b", ");
                    }
                    v.write(out, indent);
                }
                out.push(b')');
            }
            Value::Record(items) => {
                out.extend_from_slice(b"{ ");
                for (n, (name, v)) in items.iter().enumerate() {
                    if n > 0 {
                        out.extend_from_slice(b", ");
                    }
                    out.extend(format!(".{name} = ").bytes());
                    v.write(out, indent);
                }
                out.extend_from_slice(b" }");
            }
            Value::Array(items) => {
                out.push(b'[');
                for (n, v) in items.iter().enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    v.write(out, indent);
                }
                out.push(b']');
            }
            Value::Stack(frames) => {
                out.push(b'\n');
                for f in frames {
                    out.extend(std::iter::repeat_n(b' ', indent));
                    out.extend(f.bytes());
                    out.push(b'\n');
                }
            }
        }
    }

    pub(super) fn json(&self) -> String {
        /// Beyond it, readers that keep numbers as floating point lose digits.
        const EXACT: u64 = 1 << 53;
        match self {
            Value::Int(v) if v.unsigned_abs() > EXACT => format!("\"{v}\""),
            Value::Int(v) => v.to_string(),
            Value::Uint(v) | Value::Pointer(v) if *v > EXACT => format!("\"{v}\""),
            Value::Uint(v) | Value::Pointer(v) => v.to_string(),
            Value::Bool(v) => v.to_string(),
            Value::Named(v, _) => v.to_string(),
            Value::Str(s) => json::quoted(s),
            Value::Buf(b) => json::quoted(escaped(b).as_bytes()),
            Value::Tuple(items) | Value::Array(items) => {
                let parts: Vec<String> = items.iter().map(Value::json).collect();
                format!("[{}]", parts.join(","))
            }
            Value::Record(items) => {
                let parts: Vec<String> = items
                    .iter()
                    .map(|(n, v)| format!("{}: {}", json::quoted(n.as_bytes()), v.json()))
                    .collect();
                format!("{{{}}}", parts.join(", "))
            }
            Value::Stack(frames) => json::quoted(frames.join("\n").as_bytes()),
        }
    }

    /// As a key of a JSON object: tuples without blanks.
    pub(super) fn json_key(&self) -> Vec<u8> {
        match self {
            Value::Tuple(items) => {
                let parts: Vec<Vec<u8>> = items.iter().map(Value::json_key).collect();
                parts.join(&b','.to_owned())
            }
            Value::Named(v, _) => v.to_string().into_bytes(),
            Value::Pointer(v) => v.to_string().into_bytes(),
            Value::Stack(frames) => frames.join("\n").into_bytes(),
            other => other.key_text(),
        }
    }
}

/// Bytes as text, with the unprintable ones as `\xNN`.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let mut out = String::new();
    for b in bytes {
        if (0x20..0x7f).contains(b) {
            out.push(char::from(*b));
        } else {
            out.push_str(&format!("\\x{b:02x}"));
        }
    }
    out
}
