//! Type names → types: the language's, the script's own declarations, the kernel's.

use std::collections::HashMap;
use std::sync::Arc;

use probity_btf::{Btf, Type, TypeId};

use super::{Checked, Checker};
use crate::ast::{BaseType, DeclKind, ExprKind, FieldDecl, TypeDecl, TypeName};
use crate::diagnostics::{Diagnostic, nearest};
use crate::source::Span;
use crate::types::{EnumTy, Space, StructRef, Ty};

/// Types that the script declares.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    pub structs: Vec<DeclaredStruct>,
    /// With `struct `, `union ` or `enum ` in front.
    pub names: HashMap<String, Ty>,
    pub enumerators: HashMap<String, (i64, Option<Arc<EnumTy>>)>,
}

#[derive(Debug)]
pub(crate) struct DeclaredStruct {
    pub name: String,
    pub size: u32,
    pub align: u32,
    pub fields: Vec<DeclaredField>,
}

#[derive(Clone, Debug)]
pub(crate) struct DeclaredField {
    pub name: String,
    pub ty: Ty,
    pub offset: u32,
    /// First bit within `offset` and width.
    pub bits: Option<(u32, u32)>,
}

/// Names of integers: the language's and C's on a 64-bit machine.
pub(crate) fn int_type(name: &str) -> Option<Ty> {
    let int = |bytes, signed| Some(Ty::Int { bytes, signed });
    match name {
        "int8" | "int8_t" | "s8" | "__s8" | "char" | "signed char" => int(1, true),
        "uint8" | "uint8_t" | "u8" | "__u8" | "unsigned char" => int(1, false),
        "int16" | "int16_t" | "s16" | "__s16" | "short" | "short int" | "signed short" => {
            int(2, true)
        }
        "uint16" | "uint16_t" | "u16" | "__u16" | "unsigned short" | "unsigned short int"
        | "__be16" | "__le16" => int(2, false),
        "int32" | "int32_t" | "s32" | "__s32" | "int" | "signed" | "signed int" | "pid_t" => {
            int(4, true)
        }
        "uint32" | "uint32_t" | "u32" | "__u32" | "unsigned" | "unsigned int" | "__be32"
        | "__le32" | "uid_t" | "gid_t" | "dev_t" => int(4, false),
        "int64" | "int64_t" | "s64" | "__s64" | "long" | "long int" | "long long"
        | "long long int" | "signed long" | "ssize_t" | "intptr_t" | "loff_t" => int(8, true),
        "uint64"
        | "uint64_t"
        | "u64"
        | "__u64"
        | "unsigned long"
        | "unsigned long int"
        | "unsigned long long"
        | "unsigned long long int"
        | "long unsigned int"
        | "size_t"
        | "uintptr_t"
        | "__be64"
        | "__le64"
        | "sector_t" => int(8, false),
        "bool" | "_Bool" => Some(Ty::Bool),
        _ => None,
    }
}

impl<'a> Checker<'a> {
    pub(crate) fn declare_type(&mut self, decl: &'a TypeDecl) -> Checked<Ty> {
        match &decl.kind {
            DeclKind::Enum(values) => {
                let ty = Arc::new(EnumTy {
                    name: decl.name.clone(),
                    values: values.clone(),
                });
                for (name, value) in values {
                    self.declared
                        .enumerators
                        .insert(name.clone(), (*value, Some(ty.clone())));
                }
                let ty = Ty::Enum(ty);
                self.declared
                    .names
                    .insert(format!("enum {}", decl.name), ty.clone());
                Ok(ty)
            }
            DeclKind::Alias(of) => {
                let ty = match &of.inline {
                    Some(inner) => {
                        let mut t = self.declare_type(inner)?;
                        for _ in 0..of.ty.pointers {
                            t = Ty::ptr(t, Space::Unknown);
                        }
                        self.with_dims(t, &of.ty)?
                    }
                    None => self.type_named(&of.ty)?,
                };
                self.declared.names.insert(decl.name.clone(), ty.clone());
                Ok(ty)
            }
            DeclKind::Struct(fields) => self.declare_fields(decl, fields, false),
            DeclKind::Union(fields) => self.declare_fields(decl, fields, true),
        }
    }

    fn declare_fields(
        &mut self,
        decl: &'a TypeDecl,
        fields: &'a [FieldDecl],
        union: bool,
    ) -> Checked<Ty> {
        let id = self.declared.structs.len();
        self.declared.structs.push(DeclaredStruct {
            name: decl.name.clone(),
            size: 0,
            align: 1,
            fields: Vec::new(),
        });
        let ty = Ty::Struct(StructRef::Declared(id), Space::Unknown);
        if !decl.name.is_empty() {
            let word = if union { "union" } else { "struct" };
            // Before the members: they may point to it.
            self.declared
                .names
                .insert(format!("{word} {}", decl.name), ty.clone());
        }
        let too_big = || Diagnostic::error(decl.span, "this type is larger than 1 MiB");
        let (mut at, mut size, mut align) = (0u64, 0u64, 1u64);
        let mut out = Vec::new();
        for f in fields {
            let base = match &f.inline {
                Some(inner) => {
                    let mut t = self.declare_type(inner)?;
                    for _ in 0..f.ty.pointers {
                        t = Ty::ptr(t, Space::Unknown);
                    }
                    self.with_dims(t, &f.ty)?
                }
                None => self.type_named(&f.ty)?,
            };
            let (bytes, natural) = self.memory_layout(&base);
            let (bytes, natural) = (u64::from(bytes), u64::from(natural.max(1)));
            align = align.max(natural);
            if let Some(bits) = f.bits {
                let unit = bytes * 8;
                if u64::from(bits) > unit {
                    return Err(Diagnostic::error(
                        f.span,
                        "the bit field is wider than its type",
                    ));
                }
                if union {
                    at = 0;
                }
                // A bit field does not cross a boundary of its type. `at` counts bits here.
                if at % unit + u64::from(bits) > unit {
                    at = at.next_multiple_of(unit);
                }
                let unit_start = at / unit * bytes;
                out.push(DeclaredField {
                    name: f.name.clone(),
                    ty: base,
                    offset: unit_start as u32,
                    bits: Some(((at % unit) as u32, bits)),
                });
                at += u64::from(bits);
            } else {
                if union {
                    at = 0;
                }
                at = at.next_multiple_of(natural * 8);
                out.push(DeclaredField {
                    name: f.name.clone(),
                    ty: base,
                    offset: (at / 8) as u32,
                    bits: None,
                });
                at += bytes * 8;
            }
            size = size.max(at.div_ceil(8));
            if size > 1 << 20 {
                return Err(too_big());
            }
        }
        let s = &mut self.declared.structs[id];
        s.size = size.next_multiple_of(align) as u32;
        s.align = align as u32;
        s.fields = out;
        Ok(ty)
    }

    /// Bytes and alignment in memory.
    pub(crate) fn memory_layout(&self, ty: &Ty) -> (u32, u32) {
        match ty {
            Ty::Int { bytes, .. } => (u32::from(*bytes), u32::from(*bytes)),
            Ty::Bool => (1, 1),
            Ty::Enum(_) => (4, 4),
            Ty::Array(elem, n, _) => {
                let (size, align) = self.memory_layout(elem);
                (size.saturating_mul(*n), align)
            }
            Ty::Struct(StructRef::Declared(n), _) => self
                .declared
                .structs
                .get(*n)
                .map_or((0, 1), |s| (s.size, s.align)),
            Ty::Struct(StructRef::Btf(id), _) => match self.env.types() {
                Some(b) => (b.size_of(*id).unwrap_or(0), b.align_of(*id).unwrap_or(1)),
                None => (0, 1),
            },
            Ty::Void => (1, 1),
            Ty::Str(n) | Ty::Buf(n) => (*n, 1),
            Ty::Mem(m) => (m.bytes, self.memory_layout(&m.ty).1),
            Ty::Tuple(_) | Ty::Record(_) => (ty.c_size(), 8),
            _ => (8, 8),
        }
    }

    fn with_dims(&self, base: Ty, name: &'a TypeName) -> Checked<Ty> {
        let mut ty = base;
        for dim in name.dims.iter().rev() {
            let n = u32::try_from(dim.unwrap_or(0))
                .ok()
                .filter(|n| *n <= 1 << 20)
                .ok_or_else(|| Diagnostic::error(name.span, "the array is too large"))?;
            ty = Ty::Array(Box::new(ty), n, Space::Unknown);
        }
        Ok(ty)
    }

    pub(crate) fn type_named(&mut self, name: &'a TypeName) -> Checked<Ty> {
        if let (BaseType::Name(word), 0, [Some(room)]) =
            (&name.base, name.pointers, name.dims.as_slice())
            && word == "string"
        {
            return sized_text(*room, name.span);
        }
        let mut ty = match &name.base {
            BaseType::Typeof(e) => match &e.kind {
                ExprKind::Type(inner) => self.type_named(inner)?,
                ExprKind::Ident(word) => match self.lookup_type(word) {
                    Some(t) => t,
                    None => self.place(e)?.ty,
                },
                _ => self.place(e)?.ty,
            },
            BaseType::Name(word) => match self.macro_type(word)? {
                Some(t) => t,
                None => match self.lookup_type(word) {
                    Some(t) => t,
                    None => self.program_type(word, name)?,
                },
            },
        };
        for _ in 0..name.pointers {
            ty = Ty::ptr(ty, Space::Unknown);
        }
        self.with_dims(ty, name)
    }

    /// A type of the probed program, which its function's arguments lead to.
    fn program_type(&mut self, word: &str, name: &TypeName) -> Checked<Ty> {
        let of_program = matches!(
            self.probe_if_any(),
            Some(crate::probes::ProbeKind::Uprobe { .. })
        ) && self.user_params(name.span).is_ok();
        let found = of_program.then(|| self.lookup_type(word)).flatten();
        found.ok_or_else(|| self.unknown_type(word, name))
    }

    fn unknown_type(&self, word: &str, name: &TypeName) -> Diagnostic {
        let d = Diagnostic::error(name.span, format!("unknown type `{word}`"));
        if self.env.types().is_none() {
            return d.hint("the kernel's types (BTF) are not known here");
        }
        let declared = self.declared.names.keys().map(String::as_str);
        if nearest(word, declared.clone()).is_some() {
            return d.suggest(word, declared);
        }
        let Some((tag @ ("struct" | "union" | "enum"), bare)) = word.split_once(' ') else {
            return d.hint("types are `uint64`, `string`, `struct NAME` …");
        };
        let kernel: Vec<&str> = self.env.types().map_or(Vec::new(), |t| {
            let named = |id: TypeId| match t.ty(id)? {
                Type::Struct(_) | Type::Union(_) | Type::Enum(_) => Some(t.name(id)),
                _ => None,
            };
            (1..t.len()).filter_map(|n| named(TypeId(n))).collect()
        });
        match nearest(bare, kernel) {
            Some(near) => d.hint(format!("did you mean `{tag} {near}`?")),
            None => d.hint("neither the script nor the kernel's types (BTF) declare it"),
        }
    }

    pub(crate) fn lookup_type(&self, word: &str) -> Option<Ty> {
        if let Some(t) = int_type(word) {
            return Some(t);
        }
        match word {
            "void" => return Some(Ty::Void),
            "string" => return Some(Ty::Str(self.config.max_strlen)),
            _ => {}
        }
        if let Some(t) = self.declared.names.get(word) {
            return Some(t.clone());
        }
        let btf = self.env.types()?;
        let id = btf.find_type(word)?;
        Some(btf_type(btf, id, Space::Unknown, 0))
    }

    /// A type as a tracepoint's format writes it.
    pub(crate) fn c_type(&self, text: &str, space: Space) -> Option<Ty> {
        let cleaned: Vec<&str> = text
            .split(|c: char| c.is_whitespace() || c == '*')
            .filter(|w| {
                !w.is_empty() && !matches!(*w, "const" | "volatile" | "__user" | "restrict")
            })
            .collect();
        let stars = text.matches('*').count();
        let base = cleaned.join(" ");
        let mut ty = self
            .lookup_type(&base)
            .or_else(|| (stars > 0).then_some(Ty::Void))?;
        if stars > 4 {
            return None;
        }
        for n in 0..stars {
            // Only the outermost level is the event's own; what it leads to is in the same space.
            let _ = n;
            ty = Ty::ptr(in_space(ty, space), space);
        }
        Some(ty)
    }

    /// A named constant.
    pub(crate) fn enumerator(&self, name: &str) -> Option<(i64, Option<Arc<EnumTy>>)> {
        if let Some(found) = self.declared.enumerators.get(name) {
            return Some(found.clone());
        }
        let btf = self.env.types()?;
        let (id, value) = btf.find_enum_value(name)?;
        match btf_type(btf, id, Space::Unknown, 0) {
            Ty::Enum(e) if !e.name.is_empty() => Some((value.value, Some(e))),
            _ => Some((value.value, None)),
        }
    }
}

/// The same type with its addresses in this space.
/// `string[N]`: a text with room for so many characters, its NUL counted.
fn sized_text(room: u64, span: Span) -> Checked<Ty> {
    const MOST: u64 = 1 << 20;
    match room {
        1..=MOST => Ok(Ty::Str(room as u32)),
        _ => Err(Diagnostic::error(
            span,
            format!("a text has room for 1 to {MOST} characters"),
        )),
    }
}

pub(crate) fn in_space(ty: Ty, space: Space) -> Ty {
    match ty {
        Ty::Struct(s, _) => Ty::Struct(s, space),
        Ty::Array(elem, n, _) => Ty::Array(Box::new(in_space(*elem, space)), n, space),
        Ty::Ptr(to, _) => Ty::Ptr(Box::new(in_space(*to, space)), space),
        other => other,
    }
}

/// A kernel type; structures stay names, so that this ends.
pub(crate) fn btf_type(btf: &Btf, id: TypeId, space: Space, depth: u32) -> Ty {
    if depth > 16 {
        return Ty::Void;
    }
    let id = btf.resolve(id);
    match btf.ty(id) {
        Some(Type::Int { size, encoding, .. }) => {
            if encoding.bool {
                return Ty::Bool;
            }
            match size {
                1 | 2 | 4 | 8 => Ty::Int {
                    bytes: size as u8,
                    signed: encoding.signed || (size == 1 && btf.name(id) == "char"),
                },
                _ => Ty::Array(Box::new(Ty::U8), size, space),
            }
        }
        Some(Type::Ptr(to)) => Ty::ptr(btf_type(btf, to, space, depth + 1), space),
        Some(Type::Array { elem, len, .. }) => {
            Ty::Array(Box::new(btf_type(btf, elem, space, depth + 1)), len, space)
        }
        Some(Type::Struct(_) | Type::Union(_)) => Ty::Struct(StructRef::Btf(id), space),
        Some(Type::Enum(e) | Type::Enum64(e)) => {
            let name = btf.name(id).to_owned();
            if e.size == 8 {
                return Ty::U64;
            }
            Ty::Enum(Arc::new(EnumTy {
                name,
                values: e
                    .values
                    .iter()
                    .map(|v| (v.name.to_owned(), v.value))
                    .collect(),
            }))
        }
        Some(Type::Float { size }) => Ty::Int {
            bytes: if size == 4 { 4 } else { 8 },
            signed: false,
        },
        _ => Ty::Void,
    }
}
