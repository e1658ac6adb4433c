//! A type → text that is the same exactly where bytes of the one type may be read as the other.
//!
//! Typedefs and qualifiers are gone, offsets and sizes are told, names of members and structures stay:
//! `struct event{0 u32 pid;8 u64 start;16 [16]char8 comm}`. A pointer is told by what it points to, by name.

use std::fmt::Write as _;

use probity_btf::{Btf, Composite, Kind, Type, TypeId};

/// Bytes of text; structures of real maps have hundreds.
const LONGEST: usize = 64 << 10;
const DEEPEST: usize = 32;

/// `None` where the type is missing, or larger than anything a map holds in earnest.
pub fn schema(btf: &Btf, id: TypeId) -> Option<String> {
    let mut text = String::new();
    write(btf, id, DEEPEST, &mut text)?;
    Some(text)
}

fn write(btf: &Btf, id: TypeId, depth: usize, out: &mut String) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    if out.len() > LONGEST {
        return None;
    }
    let id = btf.resolve(id);
    let name = btf.name(id);
    match btf.ty(id)? {
        Type::Int {
            size,
            encoding,
            bits,
            offset,
        } => {
            let word = match encoding {
                e if e.bool => "bool",
                e if e.char => "char",
                e if e.signed => "s",
                _ => "u",
            };
            let _ = write!(out, "{word}{}", u64::from(size) * 8);
            if u64::from(bits) != u64::from(size) * 8 || offset != 0 {
                let _ = write!(out, ":{bits}+{offset}");
            }
        }
        Type::Float { size } => {
            let _ = write!(out, "float{}", u64::from(size) * 8);
        }
        Type::Ptr(to) => {
            // Tags tell managed pointers from others.
            let _ = write!(out, "*{}", btf.type_name(to));
            let mut at = to;
            for _ in 0..DEEPEST {
                match btf.ty(at) {
                    Some(Type::TypeTag { target, value, .. }) => {
                        let _ = write!(out, "@{value}");
                        at = target;
                    }
                    _ => break,
                }
            }
        }
        Type::Array { elem, len, .. } => {
            let _ = write!(out, "[{len}]");
            write(btf, elem, depth, out)?;
        }
        Type::Struct(c) => composite(btf, "struct", name, &c, depth, out)?,
        Type::Union(c) => composite(btf, "union", name, &c, depth, out)?,
        Type::Enum(e) | Type::Enum64(e) => {
            let _ = write!(out, "enum{}", u64::from(e.size) * 8);
            out.push(if e.signed { 's' } else { 'u' });
        }
        Type::DataSec { vars, .. } => {
            out.push('{');
            for v in vars.iter() {
                let _ = write!(out, "{} ", v.offset);
                if let Some(Type::Var { ty, .. }) = btf.ty(v.var) {
                    write(btf, ty, depth, out)?;
                }
                let _ = write!(out, " {};", btf.name(v.var));
            }
            out.push('}');
        }
        _ => {
            let _ = write!(out, "{}", btf.kind(id).map_or("?", Kind::name));
        }
    }
    (out.len() <= LONGEST).then_some(())
}

fn composite(
    btf: &Btf,
    word: &str,
    name: &str,
    c: &Composite<'_>,
    depth: usize,
    out: &mut String,
) -> Option<()> {
    let _ = write!(
        out,
        "{word}{}{name}{{",
        if name.is_empty() { "" } else { " " }
    );
    for m in c.members.iter() {
        let _ = write!(out, "{}", m.bit_offset / 8);
        if m.bit_offset % 8 != 0 || m.bitfield_size != 0 {
            let _ = write!(out, ".{}:{}", m.bit_offset % 8, m.bitfield_size);
        }
        out.push(' ');
        write(btf, m.ty, depth, out)?;
        let _ = write!(out, " {};", m.name);
    }
    let _ = write!(out, "}}{}", c.size);
    Some(())
}
