//! An object × what a host offers → the object with its programs bound to the host's hooks.
//!
//! The verifier would refuse what is wrong here too, in its own words; here it is told in those of the author: which hook there
//! is, which field of a structure lies elsewhere, which argument of a function is of another type.
//!
//! **Invariant:** nothing is proved here: an object that passes is still to be verified.

use probity_btf::{Btf, Type, TypeId};
use probity_objfile::{ExternKind, Object, Target};

use crate::description::{ContextDescription, HostDescription};
use crate::rows::prog_type;

/// Why an object is not for this host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    #[error("the object holds no programs")]
    Empty,
    #[error(
        "program `{program}` is in section `{section}`, which names no hook of a host; write SEC(\"hook/NAME\")"
    )]
    NoHook { program: String, section: String },
    #[error(
        "program `{program}`: the host has no hook `{hook}`{}; it has {known}",
        did_you_mean(nearest)
    )]
    UnknownHook {
        program: String,
        hook: String,
        nearest: Option<String>,
        known: String,
    },
    #[error(
        "program `{program}` is for version {theirs} of hook `{hook}`; the host has version {ours}"
    )]
    Abi {
        program: String,
        hook: String,
        theirs: u32,
        ours: u32,
    },
    #[error("program `{program}`, hook `{hook}`: `struct {structure}`: {what}")]
    Context {
        program: String,
        hook: String,
        structure: String,
        what: String,
    },
    #[error("the host has no function `{function}`{}", did_you_mean(nearest))]
    UnknownFunction {
        function: String,
        nearest: Option<String>,
    },
    #[error("function `{function}`: {what}")]
    Prototype { function: String, what: String },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    match nearest {
        Some(name) => format!(" (did you mean `{name}`?)"),
        None => String::new(),
    }
}

/// Binds each program to its hook; `types` are those of the host's platform.
pub(crate) fn bind(
    object: &mut Object,
    host: &HostDescription,
    types: &Btf,
) -> Result<(), BindError> {
    if object.programs.is_empty() {
        return Err(BindError::Empty);
    }
    functions(object, host, types)?;
    let btf = object.btf.clone();
    for p in &mut object.programs {
        let Target::Host { name, abi } = &p.hook.target else {
            return Err(BindError::NoHook {
                program: p.name.clone(),
                section: p.hook.section.clone(),
            });
        };
        let Some((n, hook)) = host.hook(name) else {
            let known: Vec<&str> = host.hooks.iter().map(|h| h.name.as_str()).collect();
            return Err(BindError::UnknownHook {
                program: p.name.clone(),
                hook: name.clone(),
                nearest: nearest(name, known.iter().copied()),
                known: known.join(", "),
            });
        };
        if let Some(theirs) = abi.filter(|a| *a != hook.abi) {
            return Err(BindError::Abi {
                program: p.name.clone(),
                hook: name.clone(),
                theirs,
                ours: hook.abi,
            });
        }
        let main = p.subprogs.first().and_then(|s| s.func);
        if let (Some(btf), Some(func)) = (&btf, main)
            && let Some((structure, id)) = argument(btf, func)
        {
            let ours = &hook.context;
            let wrong = match structure == ours.name {
                true => layout(btf, id, ours),
                false => Err(format!("the hook's context is `struct {}`", ours.name)),
            };
            wrong.map_err(|what| BindError::Context {
                program: p.name.clone(),
                hook: name.clone(),
                structure: structure.to_string(),
                what,
            })?;
        }
        p.hook.prog_type = Some(prog_type(n));
    }
    Ok(())
}

/// Name and type of the structure that a function's first parameter points to.
fn argument(btf: &Btf, func: TypeId) -> Option<(&str, TypeId)> {
    let Some(Type::FuncProto { params, .. }) = btf.ty(btf.proto(func)?) else {
        return None;
    };
    let id = btf.resolve(btf.pointee(params.get(0)?.ty)?);
    matches!(btf.ty(id), Some(Type::Struct(_))).then(|| (btf.name(id), id))
}

/// What the extension takes the structure for lies in the host's: every field of it, at its place, no longer.
fn layout(btf: &Btf, id: TypeId, ours: &ContextDescription) -> Result<(), String> {
    let size = btf.size_of(id).unwrap_or(u32::MAX);
    if size > ours.size {
        return Err(format!(
            "it has {size} bytes, the host's {}: the extension is for a newer host",
            ours.size
        ));
    }
    for m in btf.members(id).iter() {
        if m.name.is_empty() || m.name.starts_with("__pad") {
            continue;
        }
        let at = m.bit_offset / 8;
        let bytes = btf.size_of(m.ty).unwrap_or(0);
        let found = ours.fields.iter().find_map(|f| {
            // A packet is two words to C.
            let ty = f.kind().ok()?;
            match (m.name == f.name, ty) {
                (true, crate::context::Type::Packet) => Some((f.offset, 4)),
                (true, ty) => Some((f.offset, ty.size())),
                (false, crate::context::Type::Packet) if m.name == format!("{}_end", f.name) => {
                    Some((f.offset + 4, 4))
                }
                _ => None,
            }
        });
        match found {
            Some((offset, size)) if (offset, size) == (at, bytes) => {}
            Some((offset, size)) => {
                return Err(format!(
                    "`{}` has {bytes} bytes at {at}, the host's has {size} at {offset}",
                    m.name
                ));
            }
            None => return Err(format!("the host's has no field `{}`", m.name)),
        }
    }
    Ok(())
}

/// Functions that the object takes the host to have, against those that it has.
fn functions(object: &Object, host: &HostDescription, types: &Btf) -> Result<(), BindError> {
    for e in &object.externs {
        if e.kind != ExternKind::Kfunc {
            continue;
        }
        let name = probity_btf::essential_name(&e.name);
        let Some(ours) = types.find_func(name) else {
            if e.weak {
                continue;
            }
            let all = host.functions.iter().map(|f| f.name.as_str());
            return Err(BindError::UnknownFunction {
                function: name.to_string(),
                nearest: nearest(name, all),
            });
        };
        let Some((btf, theirs)) = object.btf.as_deref().zip(e.type_id) else {
            continue;
        };
        prototype(btf, theirs, types, ours).map_err(|what| BindError::Prototype {
            function: name.to_string(),
            what,
        })?;
    }
    Ok(())
}

fn prototype(a: &Btf, theirs: TypeId, b: &Btf, ours: TypeId) -> Result<(), String> {
    let proto = |btf: &Btf, id| match btf.proto(id).and_then(|p| btf.ty(p)) {
        Some(Type::FuncProto { ret, params }) => {
            let of: Vec<TypeId> = params.iter().map(|p| p.ty).collect();
            Some((ret, of))
        }
        _ => None,
    };
    let (Some((ra, pa)), Some((rb, pb))) = (proto(a, theirs), proto(b, ours)) else {
        return Err("its type is no prototype".into());
    };
    if pa.len() != pb.len() {
        return Err(format!(
            "the extension gives {} arguments, the host's function takes {}",
            pa.len(),
            pb.len()
        ));
    }
    let pairs = [(ra, rb)].into_iter().chain(pa.into_iter().zip(pb));
    for (n, (x, y)) in pairs.enumerate() {
        if !alike(a, x, b, y) {
            let what = match n {
                0 => "its result".to_string(),
                n => format!("its argument {n}"),
            };
            return Err(format!(
                "{what} is `{}` to the extension, `{}` to the host",
                a.type_name(x),
                b.type_name(y)
            ));
        }
    }
    Ok(())
}

/// The same in the registers: numbers of one width and sign, pointers that are read or written through.
fn alike(a: &Btf, x: TypeId, b: &Btf, y: TypeId) -> bool {
    let constant = |btf: &Btf, to: TypeId| matches!(btf.ty(to), Some(Type::Const(_)));
    match (a.resolved(x), b.resolved(y)) {
        (Some(Type::Void), Some(Type::Void)) => true,
        (
            Some(Type::Int { size, encoding, .. }),
            Some(Type::Int {
                size: size_b,
                encoding: encoding_b,
                ..
            }),
        ) => size == size_b && encoding.signed == encoding_b.signed,
        (Some(Type::Enum(e)), Some(Type::Int { size, .. })) => e.size == size,
        (Some(Type::Ptr(to)), Some(Type::Ptr(to_b))) => {
            // What is read may be told to be written; not the other way round.
            constant(b, to_b) || !constant(a, to)
        }
        _ => false,
    }
}

/// The name that differs least, if it differs by no more than a third of its letters.
pub(crate) fn nearest<'a>(name: &str, all: impl Iterator<Item = &'a str>) -> Option<String> {
    if name.len() > 256 {
        return None;
    }
    all.map(|candidate| (distance(name, candidate), candidate))
        .filter(|(d, candidate)| *d <= candidate.len().div_ceil(3))
        .min_by_key(|(d, _)| *d)
        .map(|(_, candidate)| candidate.to_owned())
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let (mut diagonal, mut left) = (i, i + 1);
        for (above, cb) in row.iter_mut().skip(1).zip(&b) {
            let changed = diagonal + usize::from(ca != *cb);
            let here = changed.min(left + 1).min(*above + 1);
            diagonal = std::mem::replace(above, here);
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}
