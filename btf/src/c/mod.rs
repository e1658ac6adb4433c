//! Types → a C header that declares them with the layout they have: the kernel's `vmlinux.h`.
//!
//! Every structure is laid out here as the compiler would do it; where that differs from what
//! BTF says, padding, `packed` and renamings make up the difference ([`plan`]).
//!
//! **Invariant:** a type that cannot be laid out in C is an error that names it, never a wrong
//! layout. Names that C cannot hold are rewritten; names used twice get `___2`, `___3`, which CO-RE
//! takes for the same.

mod emit;
mod names;
mod order;
mod plan;

use crate::{Btf, Error, Kind, TypeId};

/// What to print.
#[derive(Clone, Debug, Default)]
pub struct HeaderOptions {
    /// Only these types, spelled as in C (`struct task_struct`, `pid_t`) or by bare name, and
    /// what they need to compile; empty for all. Types only pointed to stay forward declarations.
    pub types: Vec<String>,
    /// With [`HeaderOptions::types`]: also what is only pointed to, and so on.
    pub pointees: bool,
    /// Prototypes of kernel functions that programs may call (those tagged `bpf_kfunc`).
    pub kfuncs: bool,
    /// Leave out the include guard and the `preserve_access_index` pragma.
    pub bare: bool,
}

impl Btf {
    /// Prints types as a C header.
    pub fn c_header(&self, options: &HeaderOptions) -> Result<String, Error> {
        let roots = roots(self, options)?;
        let names = names::Names::assign(self);
        let plans = plan::Plans::new(self);
        let kfuncs = if options.kfuncs {
            self.kfuncs()
        } else {
            Vec::new()
        };
        let whole = options.types.is_empty();
        let order = order::order(self, &roots, &kfuncs, whole || options.pointees)?;
        emit::Emitter::new(self, names, plans).header(&order, &kfuncs, options.bare)
    }
}

/// The types asked for.
fn roots(btf: &Btf, options: &HeaderOptions) -> Result<Vec<TypeId>, Error> {
    if options.types.is_empty() {
        return Ok((1..btf.len()).map(TypeId).collect());
    }
    let mut roots = Vec::new();
    for name in &options.types {
        let before = roots.len();
        match btf.find_type(name) {
            Some(id) => roots.push(id),
            None => roots.extend(btf.find_all(name).filter(|&id| is_printable(btf, id))),
        }
        if roots.len() == before {
            return Err(Error::NotFound {
                kind: "type",
                name: name.clone(),
            });
        }
    }
    Ok(roots)
}

fn is_printable(btf: &Btf, id: TypeId) -> bool {
    matches!(
        btf.kind(id),
        Some(
            Kind::Struct
                | Kind::Union
                | Kind::Enum
                | Kind::Enum64
                | Kind::Fwd
                | Kind::Typedef
                | Kind::Func
        )
    )
}

#[cfg(test)]
mod tests;
