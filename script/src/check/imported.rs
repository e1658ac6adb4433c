//! Functions of imported objects: their prototypes as the objects' types have them, and calls.

use std::collections::{BTreeMap, HashMap, HashSet};

use probity_btf::{Btf, FuncLinkage, Type, TypeId};
use probity_objfile::Object;

use super::expr::{at, truncate};
use super::named::{DeclaredField, DeclaredStruct, btf_type};
use super::{Checked, Checker};
use crate::ast;
use crate::builtins;
use crate::diagnostics::Diagnostic;
use crate::files::ImportedObject;
use crate::hir::{Expr, ExprKind};
use crate::source::Span;
use crate::types::{Space, StructRef, Ty};

/// Registers that arguments are handed over in.
const MOST_ARGUMENTS: usize = 5;

/// What can be called.
#[derive(Debug, Default)]
pub(super) struct Imported {
    pub functions: BTreeMap<String, Function>,
}

#[derive(Clone, Debug)]
pub(super) struct Function {
    /// The object's name.
    object: String,
    /// As C writes it.
    declared: String,
    params: Vec<Param>,
    returns: Ty,
    /// Why scripts cannot call it.
    unusable: Option<String>,
}

#[derive(Clone, Debug)]
struct Param {
    name: String,
    ty: Ty,
    /// What it points to is only read.
    constant: bool,
}

/// An object's types, as they become the script's.
struct Types<'a> {
    btf: &'a Btf,
    /// Whose fields are found anew on each kernel: they are the kernel's own.
    kernel: HashSet<TypeId>,
    known: HashMap<TypeId, Ty>,
}

impl<'a> Checker<'a> {
    /// Learns the functions of an object.
    pub(super) fn import(&mut self, object: &'a ImportedObject, span: Span) {
        if let Err(d) = self.functions_of(object, span) {
            self.found.push(d);
        }
    }

    fn functions_of(&mut self, imported: &'a ImportedObject, span: Span) -> Checked<()> {
        let name = &imported.wanted;
        let bytes = imported
            .bytes
            .as_ref()
            .map_err(|(why, hint)| Diagnostic::error(span, why).hint(hint))?;
        let object = probity_objfile::open(name, bytes)
            .map_err(|e| Diagnostic::error(span, format!("`{name}` cannot be imported: {e}")))?;
        let btf = object.btf.clone().ok_or_else(|| {
            Diagnostic::error(
                span,
                format!("`{name}` has no types (BTF), and so no prototypes"),
            )
            .hint("compile it with `-g`")
        })?;
        let mut types = Types {
            btf: &btf,
            kernel: core_types(&object, &btf),
            known: HashMap::new(),
        };
        let programs: HashSet<&str> = object
            .programs
            .iter()
            .filter(|p| p.hook.section != ".text")
            .map(|p| p.name.as_str())
            .collect();
        let mut any = false;
        for (id, ty) in btf.types() {
            let Type::Func {
                proto,
                linkage: FuncLinkage::Global,
            } = ty
            else {
                continue;
            };
            let called = btf.name(id);
            if programs.contains(called) {
                continue;
            }
            any = true;
            if builtins::find(called).is_some() {
                self.found.push(
                    Diagnostic::warning(
                        span,
                        format!("`{called}` of `{name}` cannot be called: the language has a function of that name"),
                    )
                    .hint("give it another name"),
                );
                continue;
            }
            let function = self.prototype(&mut types, name, called, proto);
            if let Some(other) = self.imported.functions.insert(called.to_owned(), function) {
                return Err(Diagnostic::error(
                    span,
                    format!(
                        "`{called}` is defined in `{name}` and in `{}`",
                        other.object
                    ),
                ));
            }
        }
        match any {
            true => Ok(()),
            false => Err(Diagnostic::error(
                span,
                format!("`{name}` has no function that scripts could call"),
            )
            .hint("they can call global functions that stand in no section of their own: neither `static` nor `SEC(…)`")),
        }
    }

    fn prototype(
        &mut self,
        types: &mut Types<'_>,
        object: &str,
        name: &str,
        proto: TypeId,
    ) -> Function {
        let btf = types.btf;
        let mut function = Function {
            object: object.to_owned(),
            declared: btf.declare(proto, name),
            params: Vec::new(),
            returns: Ty::Void,
            unusable: None,
        };
        let Some(Type::FuncProto { ret, params }) = btf.ty(proto) else {
            function.unusable = Some("its type is no prototype".into());
            return function;
        };
        let by_value = |ty: &Ty| matches!(ty, Ty::Struct(..) | Ty::Array(..));
        function.returns = self.object_type(types, ret, 0);
        if by_value(&function.returns) {
            function.unusable = Some("it returns a structure".into());
        }
        for p in params.iter() {
            let ty = self.object_type(types, p.ty, 0);
            if p.ty == TypeId::VOID {
                function.unusable = Some("it takes any number of arguments".into());
            } else if by_value(&ty) || ty == Ty::Void {
                function.unusable = Some("it takes a structure by value".into());
            }
            function.params.push(Param {
                name: p.name.to_owned(),
                constant: points_to_const(btf, p.ty),
                ty,
            });
        }
        if function.params.len() > MOST_ARGUMENTS {
            function.unusable = Some(format!("it takes more than {MOST_ARGUMENTS} arguments"));
        }
        function
    }

    /// A type of an object; structures become structures of the script, or are the kernel's.
    fn object_type(&mut self, types: &mut Types<'_>, id: TypeId, depth: u32) -> Ty {
        let btf = types.btf;
        let id = btf.resolve(id);
        if let Some(known) = types.known.get(&id) {
            return known.clone();
        }
        if depth > 16 {
            return Ty::Void;
        }
        let ty = match btf.ty(id) {
            Some(Type::Ptr(to)) => Ty::ptr(self.object_type(types, to, depth + 1), Space::Kernel),
            Some(Type::Array { elem, len, .. }) => {
                let elem = self.object_type(types, elem, depth + 1);
                Ty::Array(Box::new(elem), len, Space::Kernel)
            }
            Some(Type::Struct(def)) => return self.object_struct(types, id, def.size, "struct"),
            Some(Type::Union(def)) => return self.object_struct(types, id, def.size, "union"),
            Some(Type::Fwd { is_union }) => {
                let word = if is_union { "union" } else { "struct" };
                let there = self.lookup_type(&format!("{word} {}", btf.name(id)));
                there.unwrap_or(Ty::Void)
            }
            _ => btf_type(btf, id, Space::Kernel, 0),
        };
        if let Ty::Enum(e) = &ty {
            for (name, value) in &e.values {
                let known = self.declared.enumerators.entry(name.clone());
                known.or_insert((*value, Some(e.clone())));
            }
        }
        types.known.insert(id, ty.clone());
        ty
    }

    fn object_struct(&mut self, types: &mut Types<'_>, id: TypeId, size: u32, word: &str) -> Ty {
        let btf = types.btf;
        let name = btf.name(id);
        let full = format!("{word} {name}");
        let declared = self.declared.names.get(&full);
        let there = match types.kernel.contains(&id) {
            true => self.lookup_type(&full),
            false => declared.filter(|_| !name.is_empty()).cloned(),
        };
        if let Some(ty) = there {
            types.known.insert(id, ty.clone());
            return ty;
        }
        let n = self.declared.structs.len();
        self.declared.structs.push(DeclaredStruct {
            name: name.to_owned(),
            size,
            align: btf.align_of(id).unwrap_or(1),
            fields: Vec::new(),
        });
        let ty = Ty::Struct(StructRef::Declared(n), Space::Kernel);
        // Before the members: they may point to it.
        types.known.insert(id, ty.clone());
        if !name.is_empty() {
            self.declared.names.insert(full, ty.clone());
        }
        let mut fields = Vec::new();
        for member in btf.members(id).iter() {
            let Some(place) = btf.member_field(&member) else {
                continue;
            };
            let of = self.object_type(types, member.ty, 0);
            let unit = u64::from(self.memory_layout(&of).0.max(1)) * 8;
            let (offset, bits) = match place.bitfield {
                true => {
                    let start = place.bit_offset / unit * unit;
                    let bits = (place.bit_offset - start, place.bit_size);
                    (start / 8, Some((bits.0 as u32, bits.1 as u32)))
                }
                false => (place.byte_offset(), None),
            };
            fields.push(DeclaredField {
                name: member.name.to_owned(),
                ty: of,
                offset: offset as u32,
                bits,
            });
        }
        self.declared.structs[n].fields = fields;
        ty
    }

    /// A call of an imported function.
    pub(super) fn call_imported(
        &mut self,
        name: &str,
        args: &'a [ast::Expr],
        span: Span,
    ) -> Checked<Expr> {
        let Some(f) = self.imported.functions.get(name).cloned() else {
            return Err(Diagnostic::error(
                span,
                format!("unknown function: `{name}`"),
            ));
        };
        if let Some(why) = &f.unusable {
            return Err(
                Diagnostic::error(span, format!("`{name}` cannot be called: {why}"))
                    .hint(format!("it is `{}` in `{}`", f.declared, f.object)),
            );
        }
        if args.len() != f.params.len() {
            let s = if f.params.len() == 1 { "" } else { "s" };
            return Err(Diagnostic::error(
                span,
                format!(
                    "`{name}()` takes {} argument{s}, {} given",
                    f.params.len(),
                    args.len()
                ),
            )
            .hint(format!("it is `{}`", f.declared)));
        }
        let mut values = Vec::new();
        for (arg, param) in args.iter().zip(&f.params) {
            let value = self.place(arg)?;
            let value =
                self.argument(value, arg.span, param)
                    .map_err(|d| match d.hint.is_some() {
                        true => d,
                        false => d.hint(format!("it is `{}`", f.declared)),
                    })?;
            values.push(value);
        }
        let known = self.called.iter().position(|c| c == name);
        let index = known.unwrap_or_else(|| {
            self.called.push(name.to_owned());
            self.called.len() - 1
        });
        let kind = ExprKind::Function {
            index,
            args: values,
        };
        // Of what a register holds, only as much as the type has is said.
        Ok(match f.returns {
            Ty::Void => Expr::new(kind, Ty::Void, span),
            ty => {
                let whole = Expr::new(kind, Ty::U64, span);
                match ty.int_bytes() {
                    8 => Expr::new(whole.kind, ty, span),
                    bytes => Expr::new(whole.cast(bytes, ty.is_signed()).kind, ty, span),
                }
            }
        })
    }

    fn argument(&mut self, e: Expr, span: Span, param: &Param) -> Checked<Expr> {
        let called = match param.name.as_str() {
            "" => String::new(),
            name => format!(" for `{name}`"),
        };
        if e.ty == Ty::Unknown {
            return Ok(e);
        }
        let Ty::Ptr(to, _) = &param.ty else {
            let e = self.value_of(e);
            let (bytes, signed) = (param.ty.int_bytes(), param.ty.is_signed());
            let address = matches!(e.ty, Ty::Ptr(..) | Ty::Struct(..) | Ty::Array(..));
            if !e.ty.is_number() && !address || address && bytes < 8 {
                return Err(Diagnostic::error(
                    span,
                    format!(
                        "`{}` is wanted{called}, this is of type `{}`",
                        param.ty, e.ty
                    ),
                ));
            }
            if let Some(v) = e.constant() {
                let fits = [true, false].map(|signed| truncate(v, bytes, signed) == v);
                if param.ty != Ty::Bool && fits == [false, false] {
                    return Err(Diagnostic::error(
                        span,
                        format!("{v} does not fit in `{}`{called}", param.ty),
                    ));
                }
            }
            return Ok(match param.ty {
                Ty::Bool => self.cast(e, Ty::Bool, span)?,
                _ => at(e.cast(bytes, signed), span),
            });
        };
        let wanted = |e: &Expr| {
            Diagnostic::error(
                span,
                format!(
                    "a pointer to `{}` is wanted{called}, this is of type `{}`",
                    self.spelled(to),
                    self.spelled(&e.ty)
                ),
            )
        };
        let bytes =
            matches!(**to, Ty::Void) || to.int_bytes() == 1 && matches!(**to, Ty::Int { .. });
        // Text that is in an event is copied.
        let e = if bytes { self.value_of(e) } else { e };
        let given = match &e.ty {
            Ty::Ptr(given, _) => Some((**given).clone()),
            Ty::Struct(..) | Ty::Array(..) => Some(e.ty.clone()),
            Ty::Mem(m) => Some(m.ty.clone()),
            _ => None,
        };
        match (&e.ty, given) {
            (Ty::Str(_), _) if bytes => {}
            (Ty::Int { bytes: 8, .. }, _) => return Ok(e),
            (_, Some(given)) => {
                // Any memory is bytes; a structure is no text.
                let any = bytes && !(**to == Ty::CHAR && matches!(given, Ty::Struct(..)));
                if !any && given != Ty::Void && !self.same_memory(to, &given) {
                    return Err(wanted(&e));
                }
                let own =
                    matches!(&e.kind, ExprKind::AddrOf(of) if matches!(of.ty, Ty::Int { .. }));
                if own && !param.constant && **to != Ty::Void && to.int_bytes() != 8 {
                    return Err(wanted(&e).hint(
                        "a script's numbers have 64 bits in memory: let the function take a pointer to one, or to `const`",
                    ));
                }
                if !matches!(e.ty, Ty::Mem(_)) {
                    return Ok(e);
                }
            }
            _ => return Err(wanted(&e)),
        }
        let ty = Ty::ptr((**to).clone(), Space::Kernel);
        Ok(Expr::new(ExprKind::AddrOf(Box::new(e)), ty, span))
    }

    /// Whether what a pointer points to is what a function takes it for.
    fn same_memory(&self, wanted: &Ty, given: &Ty) -> bool {
        match (wanted, given) {
            (Ty::Void, _) => true,
            (Ty::Struct(a, _), Ty::Struct(b, _)) => {
                a == b || self.spelled(wanted) == self.spelled(given)
            }
            (Ty::Array(a, ..), b) | (b, Ty::Array(a, ..)) if !matches!(b, Ty::Array(..)) => {
                self.same_memory(b, a) || self.same_memory(a, b)
            }
            (Ty::Array(a, n, _), Ty::Array(b, m, _)) => n == m && self.same_memory(a, b),
            (Ty::Ptr(..), Ty::Ptr(..)) => true,
            // A script's own numbers have 64 bits.
            (a, b) if a.is_number() && b.is_number() => true,
            _ => false,
        }
    }

    /// A type with the names of structures.
    fn spelled(&self, ty: &Ty) -> String {
        match ty {
            Ty::Struct(StructRef::Declared(n), _) => {
                let name = self.declared.structs.get(*n).map_or("", |s| &s.name);
                format!("struct {name}")
            }
            Ty::Struct(StructRef::Btf(id), _) => match self.env.types() {
                Some(btf) => format!("struct {}", btf.name(*id)),
                None => "struct".into(),
            },
            Ty::Ptr(to, _) => format!("{} *", self.spelled(to)),
            Ty::Mem(m) => self.spelled(&m.ty),
            other => other.to_string(),
        }
    }
}

/// Structures that code reads by relocations, so that their places are those of the kernel's of that name.
fn core_types(object: &Object, btf: &Btf) -> HashSet<TypeId> {
    let relocs = object.programs.iter().flat_map(|p| &p.core_relocs);
    relocs.map(|r| btf.resolve(r.type_id)).collect()
}

/// `const T *`.
fn points_to_const(btf: &Btf, mut id: TypeId) -> bool {
    let mut pointer = false;
    for _ in 0..32 {
        id = match btf.ty(id) {
            Some(Type::Const(_)) if pointer => return true,
            Some(Type::Ptr(to)) if !pointer => {
                pointer = true;
                to
            }
            Some(Type::Typedef(to) | Type::Const(to) | Type::Volatile(to) | Type::Restrict(to)) => {
                to
            }
            Some(Type::TypeTag { target, .. }) => target,
            _ => return false,
        };
    }
    false
}
