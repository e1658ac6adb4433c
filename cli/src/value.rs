//! Bytes with a BTF type → a JSON value; map contents as text and JSON.

use std::io::Write;

use anyhow::Result;
use probity_btf::{Btf, Member, Type, TypeId};
use probity_objfile::{Map, Object};
use serde_json::{Map as JsonMap, Value, json};

/// Deeper types than any program has.
const DEEPEST: usize = 24;

/// The value of a type; bytes that no type explains are hex.
pub fn decode(btf: &Btf, ty: TypeId, bytes: &[u8]) -> Value {
    of_type(btf, ty, bytes, 0).unwrap_or_else(|| Value::String(hex(bytes)))
}

/// Numbers of 1, 2, 4 and 8 bytes where there is no type, otherwise hex.
pub fn plain(bytes: &[u8]) -> Value {
    match bytes.len() {
        1 | 2 | 4 | 8 => number(bytes, false),
        _ => Value::String(hex(bytes)),
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn of_type(btf: &Btf, ty: TypeId, bytes: &[u8], depth: usize) -> Option<Value> {
    if depth > DEEPEST {
        return None;
    }
    match btf.resolved(ty)? {
        Type::Int { size, encoding, .. } => {
            let bytes = bytes.get(..size as usize)?;
            Some(if encoding.bool {
                Value::Bool(bytes.iter().any(|&b| b != 0))
            } else {
                number(bytes, encoding.signed)
            })
        }
        Type::Enum(_) | Type::Enum64(_) => {
            let size = btf.size_of(ty)? as usize;
            Some(number(bytes.get(..size)?, false))
        }
        Type::Ptr(_) => Some(Value::String(format!("{:#x}", word(bytes.get(..8)?)))),
        Type::Array { elem, len, .. } => {
            let size = btf.size_of(elem)? as usize;
            let whole = bytes.get(..size.checked_mul(len as usize)?)?;
            if is_char(btf, elem) {
                let text = whole.split(|&b| b == 0).next().unwrap_or(&[]);
                return Some(Value::String(String::from_utf8_lossy(text).into_owned()));
            }
            if size == 0 {
                return Some(json!([]));
            }
            whole
                .chunks_exact(size)
                .map(|c| of_type(btf, elem, c, depth + 1))
                .collect::<Option<Vec<_>>>()
                .map(Value::Array)
        }
        Type::Struct(_) | Type::Union(_) => {
            let mut fields = JsonMap::new();
            for (n, member) in btf.members(btf.resolve(ty)).iter().enumerate() {
                let name = if member.name.is_empty() {
                    format!("_{n}")
                } else {
                    member.name.to_string()
                };
                let value = member_value(btf, &member, bytes, depth)?;
                // An anonymous member's fields belong to the whole.
                match value {
                    Value::Object(inner) if member.name.is_empty() => fields.extend(inner),
                    value => {
                        fields.insert(name, value);
                    }
                }
            }
            Some(Value::Object(fields))
        }
        _ => None,
    }
}

fn member_value(btf: &Btf, member: &Member<'_>, bytes: &[u8], depth: usize) -> Option<Value> {
    let field = btf.member_field(member)?;
    let at = field.byte_offset() as usize;
    if !field.bitfield {
        return of_type(btf, field.ty, bytes.get(at..)?, depth + 1);
    }
    let shift = (field.bit_offset % 8) as u32;
    let bits = field.bit_size as u32;
    let mut window = [0u8; 16];
    for (to, from) in window.iter_mut().zip(bytes.get(at..)?) {
        *to = *from;
    }
    let mask = if bits >= 64 {
        u64::MAX
    } else {
        (1 << bits) - 1
    };
    Some(json!((u128::from_le_bytes(window) >> shift) as u64 & mask))
}

fn is_char(btf: &Btf, ty: TypeId) -> bool {
    let named_char = |ty| {
        matches!(btf.resolved(ty), Some(Type::Int { size: 1, encoding, .. })
            if encoding.char || btf.name(btf.resolve(ty)) == "char")
    };
    named_char(ty)
}

fn number(bytes: &[u8], signed: bool) -> Value {
    let value = word(bytes);
    let unused = 64 - 8 * bytes.len().min(8) as u32;
    match (signed, bytes.len()) {
        (true, 1..=8) => json!(((value << unused) as i64) >> unused),
        (_, 0..=8) => json!(value),
        _ => Value::String(hex(bytes)),
    }
}

pub fn word(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .take(8)
        .rev()
        .fold(0, |n, &b| n << 8 | u64::from(b))
}

/// One map's contents: the key and each CPU's value.
pub type Entries = Vec<(Vec<u8>, Vec<Vec<u8>>)>;

/// A map as a JSON object: data sections by variable, others as a list of entries. Array
/// elements that are all zero are left out.
pub fn map_json(object: &Object, map: &Map, entries: &Entries) -> Value {
    let btf = object.btf.as_deref();
    let typed = |ty: Option<TypeId>, bytes: &[u8]| match (btf, ty) {
        (Some(btf), Some(ty)) => decode(btf, ty, bytes),
        _ => plain(bytes),
    };
    let values = |values: &[Vec<u8>]| match values {
        [one] => typed(map.value_type, one),
        many => Value::Array(many.iter().map(|v| typed(map.value_type, v)).collect()),
    };
    if let (Some(data), Some((_, first))) = (&map.data, entries.first())
        && let (Some(btf), Some(section), Some(bytes)) = (btf, data.datasec, first.first())
        && let Some(Type::DataSec { vars, .. }) = btf.ty(section)
    {
        let mut fields = JsonMap::new();
        for v in vars.iter() {
            let Some(Type::Var { ty, .. }) = btf.ty(v.var) else {
                continue;
            };
            let end = (v.offset as usize).saturating_add(v.size as usize);
            if let Some(bytes) = bytes.get(v.offset as usize..end) {
                fields.insert(btf.name(v.var).to_string(), decode(btf, ty, bytes));
            }
        }
        return Value::Object(fields);
    }
    let shown = entries
        .iter()
        .filter(|(_, v)| !is_array(map) || v.iter().flatten().any(|&b| b != 0));
    Value::Array(
        shown
            .map(|(k, v)| json!({ "key": typed(map.key_type, k), "value": values(v) }))
            .collect(),
    )
}

fn is_array(map: &Map) -> bool {
    matches!(map.kind, 2 | 6)
}

/// The same as text: a heading and a line an entry.
pub fn print_map(
    out: &mut impl Write,
    object: &Object,
    map: &Map,
    entries: &Entries,
) -> Result<()> {
    match map_json(object, map, entries) {
        Value::Object(fields) => {
            writeln!(out, "{}:", map.name)?;
            for (name, value) in fields {
                writeln!(out, "  {name} = {}", text(&value))?;
            }
        }
        Value::Array(rows) => {
            writeln!(out, "{}: {} entries", map.name, rows.len())?;
            for row in rows {
                writeln!(out, "  {}: {}", text(&row["key"]), text(&row["value"]))?;
            }
        }
        _ => {}
    }
    Ok(())
}

pub fn text(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(k, v)| format!("{k}={}", text(v)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(text).collect::<Vec<_>>().join(", ")
        ),
        other => other.to_string(),
    }
}

/// The structure of the object that a record of so many bytes is: the one of that name, or
/// the only one of that size.
pub fn record_type(object: &Object, name: Option<&str>, size: usize) -> Option<TypeId> {
    let btf = object.btf.as_deref()?;
    if let Some(name) = name {
        return btf.find_struct(name);
    }
    let mut fitting = btf
        .types()
        .filter(|(id, t)| {
            matches!(t, Type::Struct(_))
                && !btf.name(*id).is_empty()
                && btf.size_of(*id) == Some(size as u32)
        })
        .map(|(id, _)| id);
    fitting.next().filter(|_| fitting.next().is_none())
}
