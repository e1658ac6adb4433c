//! One type → the raw listing that bpftool prints for it.

use std::fmt::Write;

use crate::{Btf, Enum, IntEncoding, Type, TypeId};

impl Btf {
    /// A type as `bpftool btf dump` lists it: `[7] INT 'char' size=1 …` and a line a member.
    pub fn listing(&self, id: TypeId) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.list(id, &mut out);
        out
    }

    fn list(&self, id: TypeId, out: &mut String) -> std::fmt::Result {
        let kind = self.kind(id).map_or("UNKNOWN", |kind| kind.name());
        write!(out, "[{id}] {kind} '{}'", shown(self.name(id)))?;
        match self.ty(id) {
            None | Some(Type::Void) => {}
            Some(Type::Int {
                size,
                encoding,
                offset,
                bits,
            }) => {
                let encoding = match encoding {
                    e if e == IntEncoding::UNSIGNED => "(none)",
                    e if e == IntEncoding::SIGNED => "SIGNED",
                    e if e == IntEncoding::BOOL => "BOOL",
                    e if e.bits() == 2 => "CHAR",
                    _ => "UNKN",
                };
                write!(
                    out,
                    " size={size} bits_offset={offset} nr_bits={bits} encoding={encoding}"
                )?;
            }
            Some(
                Type::Ptr(to)
                | Type::Typedef(to)
                | Type::Volatile(to)
                | Type::Const(to)
                | Type::Restrict(to)
                | Type::TypeTag { target: to, .. },
            ) => write!(out, " type_id={to}")?,
            Some(Type::Array { elem, index, len }) => {
                write!(out, " type_id={elem} index_type_id={index} nr_elems={len}")?;
            }
            Some(Type::Struct(c) | Type::Union(c)) => {
                write!(out, " size={} vlen={}", c.size, c.members.len())?;
                for m in c.members.iter() {
                    let name = shown(m.name);
                    write!(
                        out,
                        "\n\t'{name}' type_id={} bits_offset={}",
                        m.ty, m.bit_offset
                    )?;
                    if m.bitfield_size != 0 {
                        write!(out, " bitfield_size={}", m.bitfield_size)?;
                    }
                }
            }
            Some(Type::Enum(e)) => list_enum(&e, ("", ""), out)?,
            Some(Type::Enum64(e)) => list_enum(&e, ("LL", "ULL"), out)?,
            Some(Type::Fwd { is_union }) => {
                write!(
                    out,
                    " fwd_kind={}",
                    if is_union { "union" } else { "struct" }
                )?;
            }
            Some(Type::Func { proto, linkage }) => {
                write!(
                    out,
                    " type_id={proto} linkage={}",
                    linkage_name(linkage.number().into())
                )?;
            }
            Some(Type::FuncProto { ret, params }) => {
                write!(out, " ret_type_id={ret} vlen={}", params.len())?;
                for p in params.iter() {
                    write!(out, "\n\t'{}' type_id={}", shown(p.name), p.ty)?;
                }
            }
            Some(Type::Var { ty, linkage }) => {
                write!(
                    out,
                    " type_id={ty}, linkage={}",
                    linkage_name(linkage.number())
                )?;
            }
            Some(Type::DataSec { size, vars }) => {
                write!(out, " size={size} vlen={}", vars.len())?;
                for v in vars.iter() {
                    write!(
                        out,
                        "\n\ttype_id={} offset={} size={}",
                        v.var, v.offset, v.size
                    )?;
                    if let Some(kind) = self.kind(v.var) {
                        write!(out, " ({kind} '{}')", shown(self.name(v.var)))?;
                    }
                }
            }
            Some(Type::Float { size }) => write!(out, " size={size}")?,
            Some(Type::DeclTag {
                target, component, ..
            }) => {
                let component = component.map_or(-1, i64::from);
                write!(out, " type_id={target} component_idx={component}")?;
            }
        }
        Ok(())
    }
}

fn list_enum(e: &Enum<'_>, suffixes: (&str, &str), out: &mut String) -> std::fmt::Result {
    let encoding = if e.signed { "SIGNED" } else { "UNSIGNED" };
    write!(
        out,
        " encoding={encoding} size={} vlen={}",
        e.size,
        e.values.len()
    )?;
    for v in e.values.iter() {
        write!(out, "\n\t'{}' val=", shown(v.name))?;
        match e.signed {
            true => write!(out, "{}{}", v.value, suffixes.0)?,
            false => write!(out, "{}{}", v.value as u64, suffixes.1)?,
        }
    }
    Ok(())
}

fn shown(name: &str) -> &str {
    if name.is_empty() { "(anon)" } else { name }
}

fn linkage_name(n: u32) -> &'static str {
    match n {
        0 => "static",
        1 => "global",
        2 => "extern",
        _ => "(unknown)",
    }
}
