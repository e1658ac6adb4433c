//! Declarations in order → C text.

use std::cell::Cell;
use std::fmt::Write;

use super::names::{Names, identifier, tag_keyword};
use super::order::Unit;
use super::plan::{Pad, Plans, bitfield};
use crate::{Btf, Composite, Enum, Error, IntEncoding, Type, TypeId};

const MAX_DEPTH: u32 = 100;
const MIN_TEXT: usize = 4 << 20;
const MAX_TEXT_A_WORD: usize = 64;

const PROLOGUE: &str = "#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

";

const EPILOGUE: &str = "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

";

const KFUNCS: &str = "#ifndef BPF_NO_KFUNC_PROTOTYPES
#ifndef __ksym
#define __ksym __attribute__((section(\".ksyms\")))
#endif
#ifndef __weak
#define __weak __attribute__((weak))
#endif

";

/// C23 made these keywords; the header serves older C too.
const SINCE_C23: &str = "#if !defined(__STDC_VERSION__) || __STDC_VERSION__ < 202311L\n";

pub(super) struct Emitter<'a> {
    btf: &'a Btf,
    names: Names,
    plans: Plans<'a>,
    /// Bytes of text that may still be made: hostile types nest anonymous structures
    /// exponentially, and each use spells them out.
    left: Cell<usize>,
}

impl<'a> Emitter<'a> {
    pub fn new(btf: &'a Btf, names: Names, plans: Plans<'a>) -> Emitter<'a> {
        // A kernel's types take half their own size.
        let left = Cell::new(MIN_TEXT + MAX_TEXT_A_WORD * btf.words.len());
        Emitter {
            btf,
            names,
            plans,
            left,
        }
    }

    pub fn header(&self, order: &[Unit], kfuncs: &[TypeId], bare: bool) -> Result<String, Error> {
        let mut out = String::new();
        if !bare {
            out.push_str(PROLOGUE);
        }
        for &unit in order {
            match unit {
                Unit::Forward(id) => {
                    out.push_str(&self.tagged(id));
                    out.push_str(";\n\n");
                }
                Unit::Define(id) => self.define(&mut out, id)?,
            }
        }
        if !bare {
            out.push_str(EPILOGUE);
        }
        if !kfuncs.is_empty() {
            out.push_str(KFUNCS);
            for &id in kfuncs {
                if let Some(Type::Func { proto, .. }) = self.btf.ty(id) {
                    let text = self.declare(proto, identifier(self.btf.name(id)), 0, MAX_DEPTH)?;
                    // Writing to a String cannot fail.
                    let _ = writeln!(out, "extern {text} __weak __ksym;");
                }
            }
            out.push_str("#endif\n\n");
        }
        if !bare {
            out.push_str("#endif /* __VMLINUX_H__ */\n");
        }
        Ok(out)
    }

    fn define(&self, out: &mut String, id: TypeId) -> Result<(), Error> {
        let mut text = match self.btf.ty(id) {
            Some(Type::Struct(c) | Type::Union(c)) => {
                self.composite(id, c, &self.tagged(id), 0, MAX_DEPTH)?
            }
            Some(Type::Enum(e) | Type::Enum64(e)) => self.enumeration(id, e, &self.tagged(id), 0),
            Some(Type::Typedef(to)) => {
                let name = self.names.of(self.btf, id).to_owned();
                format!("typedef {}", self.declare(to, name, 0, MAX_DEPTH)?)
            }
            _ => return Ok(()),
        };
        text.push_str(";\n");
        if self.is_keyword_now(id) {
            text = format!("{SINCE_C23}{text}#endif\n");
        }
        out.push_str(&text);
        out.push('\n');
        Ok(())
    }

    /// `typedef _Bool bool` and `enum { false, true }`.
    fn is_keyword_now(&self, id: TypeId) -> bool {
        match self.btf.ty(id) {
            Some(Type::Typedef(_)) => self.btf.name(id) == "bool",
            Some(Type::Enum(e) | Type::Enum64(e)) => e.values.iter().any(|v| v.name == "true"),
            _ => false,
        }
    }

    /// `struct name`, or `struct` alone.
    fn tagged(&self, id: TypeId) -> String {
        let keyword = self.btf.ty(id).and_then(tag_keyword).unwrap_or("struct");
        match self.names.of(self.btf, id) {
            "" => keyword.to_owned(),
            name => format!("{keyword} {name}"),
        }
    }

    /// `head { members } attributes`, without the semicolon.
    fn composite(
        &self,
        id: TypeId,
        c: Composite<'_>,
        head: &str,
        indent: usize,
        depth: u32,
    ) -> Result<String, Error> {
        let plan = self.plans.plan(id)?;
        let mut out = format!("{head} {{");
        let mut place = 0;
        for (i, m) in c.members.iter().enumerate() {
            if let Some(pad) = plan.pads.get(i) {
                pad_text(&mut out, pad, place, indent + 1);
            }
            place = m.bit_offset;
            let name = if m.name.is_empty() {
                String::new()
            } else {
                identifier(m.name)
            };
            let declared = self.declare(m.ty, name, indent + 1, depth)?;
            line(&mut out, indent + 1);
            out.push_str(&declared);
            if let Some(width) = bitfield(self.btf, &m) {
                let _ = write!(out, ": {width}");
            }
            out.push(';');
        }
        if let Some(pad) = plan.pads.get(c.members.len()) {
            pad_text(&mut out, pad, place, indent + 1);
        }
        if out.ends_with('{') {
            out.push('}');
        } else {
            line(&mut out, indent);
            out.push('}');
        }
        if plan.packed {
            out.push_str(" __attribute__((packed))");
        }
        self.spend(&out)?;
        Ok(out)
    }

    /// `head { values } attributes`, without the semicolon.
    fn enumeration(&self, id: TypeId, e: Enum<'_>, head: &str, indent: usize) -> String {
        let mut out = format!("{head} {{");
        for (i, v) in e.values.iter().enumerate() {
            line(&mut out, indent + 1);
            let name = self.names.enumerator(id, i, v.name);
            let _ = match (e.signed || e.size < 8 && v.value < 0, v.value) {
                // The literal's minus is an operator, so its digits must fit by themselves.
                (true, i64::MIN) => write!(out, "{name} = -9223372036854775807LL - 1,"),
                (true, value) if i32::try_from(value).is_ok() => write!(out, "{name} = {value},"),
                (true, value) => write!(out, "{name} = {value}LL,"),
                (false, value) if value as u64 <= u64::from(u32::MAX) => {
                    write!(out, "{name} = {value},")
                }
                (false, value) => write!(out, "{name} = {}ULL,", value as u64),
            };
        }
        if e.values.is_empty() {
            // C has no empty enumerations.
            line(&mut out, indent + 1);
            let _ = write!(out, "__empty_enum_{id} = 0,");
        }
        line(&mut out, indent);
        out.push('}');
        out.push_str(match e.size {
            1 => " __attribute__((mode(QI)))",
            2 => " __attribute__((mode(HI)))",
            8 => " __attribute__((mode(DI)))",
            _ => "",
        });
        out
    }

    /// `name` declared with type `id`; what is anonymous is spelled out.
    fn declare(
        &self,
        id: TypeId,
        name: String,
        indent: usize,
        depth: u32,
    ) -> Result<String, Error> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Error::TooComplex(id));
        };
        let mut id = id;
        // C writes declarators inside out: this is what is declared so far…
        let mut inner = name;
        // …and these are qualifiers and attributes read on the way, of the next type in.
        let mut quals: Vec<String> = Vec::new();
        loop {
            match self.btf.ty(id) {
                Some(Type::Const(to)) => {
                    quals.push("const".into());
                    id = to;
                }
                Some(Type::Volatile(to)) => {
                    quals.push("volatile".into());
                    id = to;
                }
                Some(Type::Restrict(to)) => {
                    quals.push("restrict".into());
                    id = to;
                }
                Some(Type::TypeTag {
                    target,
                    value,
                    attribute,
                }) => {
                    quals.extend(tag_attribute(value, attribute));
                    id = target;
                }
                Some(Type::Ptr(to)) => {
                    let quals = unique(&mut quals);
                    let space = if quals.is_empty() || inner.is_empty() {
                        ""
                    } else {
                        " "
                    };
                    inner = format!("*{quals}{space}{inner}");
                    id = to;
                }
                Some(Type::Array { elem, len, .. }) => {
                    // Qualifiers of an array are its elements'. Flexible arrays are `[0]`: C forbids
                    // `[]` in unions, alone, and before the padding that kernels have after it.
                    inner = format!("{}[{len}]", grouped(inner));
                    id = elem;
                }
                Some(Type::FuncProto { ret, params }) => {
                    quals.clear();
                    let mut list = Vec::new();
                    let count = params.len();
                    for (i, p) in params.iter().enumerate() {
                        list.push(match p.ty {
                            TypeId::VOID if i + 1 == count && p.name.is_empty() => "...".into(),
                            ty => self.declare(ty, String::new(), indent, depth)?,
                        });
                    }
                    let list = if list.is_empty() {
                        "void".into()
                    } else {
                        list.join(", ")
                    };
                    inner = format!("{}({list})", grouped(inner));
                    id = ret;
                }
                _ => break,
            }
        }
        let base = self.base(id, indent, depth)?;
        let (after, before): (Vec<_>, Vec<_>) = quals
            .into_iter()
            .partition(|q| q.starts_with("__attribute__"));
        let mut text = unique(&mut before.into_iter().filter(|q| q != "restrict").collect());
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&base);
        for attribute in after {
            let _ = write!(text, " {attribute}");
        }
        if !inner.is_empty() {
            let _ = write!(text, " {inner}");
        }
        self.spend(&text)?;
        Ok(text)
    }

    fn spend(&self, text: &str) -> Result<(), Error> {
        let left = self.left.get().checked_sub(text.len());
        self.left.set(left.ok_or(Error::TooBig("the text in C"))?);
        Ok(())
    }

    /// What stands left of a declarator.
    fn base(&self, id: TypeId, indent: usize, depth: u32) -> Result<String, Error> {
        let anonymous = self.btf.name(id).is_empty();
        Ok(match self.btf.ty(id) {
            Some(Type::Struct(c) | Type::Union(c)) if anonymous => {
                self.composite(id, c, &self.tagged(id), indent, depth)?
            }
            Some(Type::Enum(e) | Type::Enum64(e)) if anonymous => {
                self.enumeration(id, e, &self.tagged(id), indent)
            }
            Some(
                Type::Struct(_)
                | Type::Union(_)
                | Type::Enum(_)
                | Type::Enum64(_)
                | Type::Fwd { .. },
            ) => self.tagged(id),
            Some(Type::Typedef(_)) => self.names.of(self.btf, id).to_owned(),
            Some(Type::Int { size, encoding, .. }) => {
                c_int(self.btf.name(id), size, encoding).into()
            }
            Some(Type::Float { size }) => c_float(size).into(),
            Some(Type::Void) => "void".into(),
            _ => {
                return Err(Error::BadType {
                    id,
                    what: "it is used as a type and is none",
                });
            }
        })
    }
}

/// C's name for an integer; BTF's own where it fits, because people know `long` from `long long`.
fn c_int(name: &str, size: u32, encoding: IntEncoding) -> &'static str {
    const NAMES: &[(&str, u32, bool, &str)] = &[
        ("char", 1, false, "char"),
        ("char", 1, true, "char"),
        ("long int", 8, true, "long"),
        ("long", 8, true, "long"),
        ("long unsigned int", 8, false, "unsigned long"),
        ("unsigned long", 8, false, "unsigned long"),
    ];
    let known = NAMES
        .iter()
        .find(|&&(n, s, sign, _)| (n, s, sign) == (name, size, encoding.signed));
    match (known, size, encoding.signed) {
        (Some(&(.., c)), ..) => c,
        (_, 1, _) if encoding.bool => "_Bool",
        (_, 1, true) => "signed char",
        (_, 1, false) => "unsigned char",
        (_, 2, true) => "short",
        (_, 2, false) => "unsigned short",
        (_, 4, true) => "int",
        (_, 4, false) => "unsigned int",
        (_, 8, true) => "long long",
        (_, 8, false) => "unsigned long long",
        (_, _, true) => "__int128",
        (_, _, false) => "unsigned __int128",
    }
}

/// BPF has no floating point: sizes that its compiler lacks are kept as integers.
fn c_float(size: u32) -> &'static str {
    match size {
        2 => "short",
        4 => "float",
        8 => "double",
        _ => "__int128",
    }
}

fn tag_attribute(value: &str, attribute: bool) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.' | '-');
    match attribute {
        false if value.chars().all(plain) => {
            Some(format!("__attribute__((btf_type_tag(\"{value}\")))"))
        }
        // The only attribute that changes what the compiler does with a pointer.
        true if value == "address_space(1)" => Some("__attribute__((address_space(1)))".into()),
        _ => None,
    }
}

/// Qualifiers once each, in order; the list is emptied.
fn unique(quals: &mut Vec<String>) -> String {
    let mut seen: Vec<String> = Vec::new();
    for q in quals.drain(..) {
        if !seen.contains(&q) {
            seen.push(q);
        }
    }
    seen.join(" ")
}

fn grouped(inner: String) -> String {
    if inner.starts_with('*') {
        format!("({inner})")
    } else {
        inner
    }
}

fn line(out: &mut String, indent: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n('\t', indent));
}

fn pad_text(out: &mut String, pad: &Pad, place: u32, indent: usize) {
    if pad.bytes != 0 {
        line(out, indent);
        let _ = write!(out, "char __pad_after_{}[{}];", place / 8, pad.bytes);
    }
    for (ty, bits) in &pad.bits {
        line(out, indent);
        let _ = write!(out, "{ty}: {bits};");
    }
}
