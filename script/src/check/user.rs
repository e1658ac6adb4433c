//! `args` of functions of programs: names and types from debug information, places by the calling convention.

use std::sync::Arc;

use super::args::ctx_word;
use super::named::{DeclaredField, DeclaredStruct, in_space};
use super::{Checked, Checker};
use crate::diagnostics::Diagnostic;
use crate::env::Arch;
use crate::hir::{Arith, Expr};
use crate::probes::{ProbeKind, UserTarget};
use crate::source::Span;
use crate::types::{EnumTy, Space, StructRef, Ty};
use crate::user_types::{UserFunction, UserType};

/// Where the caller puts an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passed {
    Register(u32),
    /// So many words behind the return address.
    Stack(u32),
    /// In a floating-point register, or in pieces.
    Elsewhere,
}

/// An argument by its name.
#[derive(Clone, Debug)]
pub(crate) struct Param {
    pub name: String,
    ty: Ty,
    passed: Passed,
}

impl Checker<'_> {
    /// The arguments of the function that this probe stands at the entry of.
    pub(crate) fn user_params(&mut self, span: Span) -> Checked<Arc<[Param]>> {
        let (path, symbol) = match self.probe() {
            ProbeKind::Uprobe {
                path,
                target: UserTarget::Symbol(symbol),
                offset: 0,
                ret: false,
            } => (path.clone(), symbol.clone()),
            other => {
                return Err(
                    Diagnostic::error(span, format!("`args` has no meaning in `{other}`"))
                        .hint("a `uprobe` has them where its function is entered"),
                );
            }
        };
        let key = (path, symbol);
        if let Some(known) = self.user_functions.get(&key) {
            return Ok(known.clone());
        }
        let found = self.env.functions.user_function(&key.0, &key.1);
        let function = found.ok_or_else(|| {
            Diagnostic::error(
                span,
                format!("{} has no debug information about {}", key.0, key.1),
            )
            .hint("its arguments are `arg0`, `arg1` …")
        })?;
        let params: Arc<[Param]> = self.learn(&function).into();
        self.user_functions.insert(key, params.clone());
        Ok(params)
    }

    /// `args.name`.
    pub(crate) fn user_argument(&mut self, name: &str, span: Span) -> Checked<Expr> {
        let params = self.user_params(span)?;
        let Some(param) = params.iter().find(|p| p.name == name) else {
            let d = Diagnostic::error(span, format!("the function has no argument `{name}`"));
            return Err(d.suggest(name, params.iter().map(|p| p.name.as_str())));
        };
        let arch = self.env.arch;
        match param.passed {
            Passed::Register(n) => {
                let offset = arch.argument(n).unwrap_or(0);
                Ok(ctx_word(offset, param.ty.clone(), span))
            }
            Passed::Stack(n) => {
                let sp = ctx_word(arch.stack_pointer(), Ty::U64, span);
                // On x86-64 the return address is in front of them.
                let at = i64::from(n + u32::from(arch == Arch::X86_64)) * 8;
                let addr = Expr::bin(Arith::Add, sp, Expr::int(at, Ty::I64, span), Ty::U64);
                Ok(self.load(addr, param.ty.clone(), Space::User, span))
            }
            Passed::Elsewhere => Err(Diagnostic::error(
                span,
                format!("`{name}` is not passed in a general register"),
            )),
        }
    }

    /// A function's types become types of the script.
    fn learn(&mut self, function: &UserFunction) -> Vec<Param> {
        let first = self.declared.structs.len();
        for s in &function.structs {
            let n = self.declared.structs.len();
            self.declared.structs.push(DeclaredStruct {
                name: s.name.split(' ').next_back().unwrap_or("").to_owned(),
                size: s.bytes,
                align: 1 << s.bytes.trailing_zeros().min(3),
                fields: Vec::new(),
            });
            if !s.name.is_empty() {
                // What the script declares itself is what it means.
                let ty = Ty::Struct(StructRef::Declared(n), Space::Unknown);
                self.declared.names.entry(s.name.clone()).or_insert(ty);
            }
        }
        for (n, s) in function.structs.iter().enumerate() {
            let fields = s.fields.iter().map(|f| DeclaredField {
                name: f.name.clone(),
                ty: user_type(&f.ty, first),
                offset: f.offset,
                bits: f.bits,
            });
            self.declared.structs[first + n].fields = fields.collect();
        }
        let bytes = |n: usize| function.structs.get(n).map_or(0, |s| s.bytes);
        places(&function.params, self.env.arch, &bytes)
            .into_iter()
            .zip(&function.params)
            .map(|(passed, (name, ty))| Param {
                name: name.clone(),
                ty: in_space(user_type(ty, first), Space::User),
                passed,
            })
            .collect()
    }
}

/// Where the arguments are, by the calling convention.
fn places(
    params: &[(String, UserType)],
    arch: Arch,
    struct_bytes: &dyn Fn(usize) -> u32,
) -> Vec<Passed> {
    let (mut registers, mut stack) = (0, 0);
    // A small structure may be in general registers, in others or in both: what follows it is not told.
    let mut lost = false;
    params
        .iter()
        .map(|(_, ty)| {
            if lost {
                return Passed::Elsewhere;
            }
            let bytes = match ty {
                UserType::Float => return Passed::Elsewhere,
                UserType::Struct(n) => struct_bytes(*n),
                UserType::Wide(n) => *n,
                UserType::Array(..) | UserType::Void => 0,
                _ => {
                    let n = registers;
                    if arch.argument(n).is_some() {
                        registers += 1;
                        return Passed::Register(n);
                    }
                    stack += 1;
                    return Passed::Stack(stack - 1);
                }
            };
            // A large one is copied to the stack on x86-64; elsewhere its address is passed.
            if bytes > 16 && arch == Arch::X86_64 {
                let n = stack;
                stack += bytes.div_ceil(8);
                return Passed::Stack(n);
            }
            lost = true;
            Passed::Elsewhere
        })
        .collect()
}

fn user_type(ty: &UserType, first: usize) -> Ty {
    let bytes = |n: u32| Ty::Array(Box::new(Ty::U8), n, Space::User);
    match ty {
        UserType::Void => Ty::Void,
        UserType::Bool => Ty::Bool,
        UserType::Int { bytes, signed } => Ty::Int {
            bytes: *bytes,
            signed: *signed,
        },
        UserType::Wide(n) => bytes(*n),
        UserType::Float => bytes(8),
        UserType::Enum { name, values } => Ty::Enum(Arc::new(EnumTy {
            name: name.clone(),
            values: values.clone(),
        })),
        UserType::Pointer(to) => Ty::ptr(user_type(to, first), Space::User),
        UserType::Array(of, n) => Ty::Array(Box::new(user_type(of, first)), *n, Space::User),
        UserType::Struct(n) => Ty::Struct(StructRef::Declared(first + n), Space::User),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_by_the_convention() {
        let int = UserType::Int {
            bytes: 4,
            signed: true,
        };
        let of = |types: &[UserType]| {
            let params: Vec<_> = types.iter().map(|t| (String::new(), t.clone())).collect();
            places(&params, Arch::X86_64, &|n| [8, 24][n])
        };
        use Passed::{Elsewhere, Register, Stack};
        assert_eq!(
            of(&[int.clone(), UserType::Float, int.clone()]),
            [Register(0), Elsewhere, Register(1)]
        );
        // The large structure takes three words of the stack.
        let many: Vec<UserType> =
            [vec![int.clone(); 7], vec![UserType::Struct(1), int.clone()]].concat();
        assert_eq!(of(&many)[5..], [Register(5), Stack(0), Stack(1), Stack(4)]);
        assert_eq!(of(&[UserType::Struct(0), int]), [Elsewhere, Elsewhere]);
    }
}
