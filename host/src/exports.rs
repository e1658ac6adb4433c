//! Functions that extensions export → what other extensions are verified and linked with: a prototype, a bound, an address.
//!
//! An export is a global function of an extension, verified once against its BTF prototype with the extension that has it. To an
//! extension that calls it, it is what a function of the host is: a row with its declaration, to be called from hooks that offer all
//! that its own program uses. Its code is called in place; the caller's proof counts what it executes.
//!
//! **Invariant:** what a caller is made to hand over is no less than what the function was verified with: numbers, pointers to numbers
//! and to structures of numbers, which it may read and write, and its own context, where that is the same.
//!
//! **Invariant:** whoever calls a function holds the extension that it belongs to.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use probity_btf::{Btf, Type, TypeId};
use probity_isa::{CallTarget, Insn};
use probity_platform::linux::OLDEST;
use probity_platform::{ArgKind, Kfunc, KfuncFlag, KfuncSpecial, Platform, Policy};
use probity_runtime::{Call, HelperFn, kfuncs};
use probity_verifier::{Verified, VerifiedProgram};

use crate::description::HostDescription;
use crate::error::Error;
use crate::rows::prog_type;
use crate::world::lock;

/// A function that other extensions may call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exported {
    pub name: &'static str,
    /// As `probity_runtime::kfuncs` reads it.
    pub declaration: &'static str,
    /// Instructions of one call, at most.
    pub executes: u64,
    /// Hooks whose programs may call it.
    kinds: &'static [u32],
    /// Where it runs; `None` where it is only verified against.
    pub function: Option<HelperFn>,
}

/// [`Exported::key`].
pub(crate) type ExportKey = (&'static str, &'static str, u64, &'static [u32]);

/// More than any budget.
const NO_BOUND: u64 = 1 << 40;

unsafe extern "C" fn nothing(_: *mut Call<'_>, _: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    0
}

impl Exported {
    pub fn entry(&self) -> kfuncs::Entry {
        kfuncs::Entry {
            name: self.name,
            declaration: self.declaration,
            function: self.function.unwrap_or(nothing),
        }
    }

    pub fn row(&self) -> Kfunc {
        Kfunc {
            name: self.name,
            flags: Box::leak(Box::new([
                KfuncFlag::AnyLicense,
                KfuncFlag::Executes(self.executes),
            ])),
            kinds: self.kinds,
            later: &[],
            attached: None,
            since: OLDEST,
            special: None,
            under_lock: false,
            origin: "extension",
        }
    }

    /// What it is to those that call it, wherever it runs.
    pub fn key(&self) -> ExportKey {
        (self.name, self.declaration, self.executes, self.kinds)
    }
}

/// Functions that extensions call have names, and are not verified but called: their names in an object.
pub(crate) fn wanted(object: &probity_objfile::Object) -> BTreeSet<String> {
    let externs = object.externs.iter();
    externs
        .filter(|e| e.kind == probity_objfile::ExternKind::Kfunc)
        .map(|e| probity_btf::essential_name(&e.name).to_string())
        .collect()
}

/// What an extension exports: functions with the tag `probity:export`, and those that its manifest names.
pub(crate) fn of(
    host: &HostDescription,
    verified: &Verified,
    named: &[String],
    pool: &Pool,
) -> Result<Vec<Exported>, Error> {
    let object = &verified.relocated().object;
    let Some(btf) = object.btf.as_deref() else {
        return match named.first() {
            None => Ok(Vec::new()),
            Some(name) => Err(refused(name, "the object has no types")),
        };
    };
    let mut names = probity_bundle::tagged_exports(btf);
    names.extend(named.iter().map(String::as_str));
    let mut exports = Vec::new();
    for name in names {
        if host.functions.iter().any(|f| f.name == name) || kfuncs::find(name).is_some() {
            return Err(refused(name, "the host has a function of that name"));
        }
        let found = verified.programs().iter().find_map(|p| {
            let mut all = p.subprogs().iter().skip(1);
            let s = all.find(|s| s.name == name && s.global)?;
            // What is not reached has no code, and counts in nothing.
            let called = p.facts().get(s.start).is_some_and(|f| f.reached);
            Some((p, s.func.filter(|_| called)?))
        });
        let Some((program, func)) = found else {
            let what = "it is no global function that a program of the object calls";
            return Err(refused(name, what));
        };
        let hook = own_hook(host, program);
        let context = hook.map(|h| h.context.name.as_str());
        let declaration = declaration(btf, func, context).map_err(|what| refused(name, &what))?;
        let takes_context = declaration.contains(CONTEXT);
        callable(program, verified).map_err(|what| refused(name, &what))?;
        exports.push(Exported {
            name: pool.text(name),
            declaration: pool.text(&declaration),
            // The program calls it, so its longest run is no shorter.
            executes: program
                .worst_case_insns()
                .map_or(NO_BOUND, |n| n.min(NO_BOUND)),
            kinds: pool.kinds(&kinds(host, verified, program, takes_context)),
            function: None,
        });
    }
    Ok(exports)
}

impl HostDescription {
    /// The platform of an extension that calls functions of these: each an object and the exports that its manifest names,
    /// those before others that call them. What a host does when they are loaded, for whoever has its description only.
    pub fn platform_beside(
        &self,
        others: &[(&probity_objfile::Object, &[String])],
        policy: &Policy,
    ) -> Result<Platform, Error> {
        let pool = Pool::default();
        let mut known: Vec<Exported> = Vec::new();
        for (object, named) in others {
            let platform = Arc::new(self.platform_with(&known));
            let verified = crate::extension::prove(self, object, &platform, policy)?;
            for export in of(self, &verified, named, &pool)? {
                if known.iter().any(|k| k.name == export.name) {
                    return Err(refused(export.name, "another exports it already"));
                }
                known.push(export);
            }
        }
        Ok(self.platform_with(&known))
    }
}

fn refused(function: &str, what: &str) -> Error {
    Error::Export(format!("`{function}` cannot be exported: {what}"))
}

/// The prototype without names, which would say more than the function was verified with.
fn declaration(btf: &Btf, func: TypeId, context: Option<&str>) -> Result<String, String> {
    let proto = btf.proto(func).and_then(|p| btf.ty(p));
    let Some(Type::FuncProto { ret, params }) = proto else {
        return Err("nobody knows its prototype".into());
    };
    // A tag on a parameter makes it something else.
    let tagged = btf.types().any(
        |(_, ty)| matches!(ty, Type::DeclTag { target, component: Some(_), .. } if target == func),
    );
    if tagged {
        return Err("a parameter has a declaration tag".into());
    }
    let mut list = Vec::new();
    for (n, p) in params.iter().enumerate() {
        let ty = parameter(btf, context, p.ty).ok_or_else(|| {
            let ty = btf.type_name(p.ty);
            format!("a parameter of the type `{ty}` cannot cross from one extension to another")
        })?;
        list.push(format!("{ty}a{}", n + 1));
    }
    let ret = match btf.resolved(ret) {
        Some(Type::Void) => "void",
        _ => number(btf, ret).ok_or_else(|| {
            let ty = btf.type_name(ret);
            format!("a result of the type `{ty}` cannot cross from one extension to another")
        })?,
    };
    Ok(format!("{ret} ({})", list.join(", ")))
}

fn parameter(btf: &Btf, context: Option<&str>, ty: TypeId) -> Option<String> {
    let Type::Ptr(to) = btf.resolved(ty)? else {
        return Some(format!("{} ", number(btf, ty)?));
    };
    let pointee = btf.resolve(to);
    let Some(Type::Struct(_)) = btf.ty(pointee) else {
        return Some(format!("{} *", number(btf, to)?));
    };
    let name = btf.name(pointee);
    if context == Some(name) {
        return Some(format!("struct {name}{{{CONTEXT}}} *"));
    }
    let mut members = Vec::new();
    layout(btf, pointee, 0, 0, &mut members)?;
    let size = btf.size_of(pointee)?;
    let whole = (1..=LONGEST_STRUCTURE).contains(&size) && !name.is_empty();
    whole.then(|| format!("struct {name}{{{size}|{}}} *", members.join("|")))
}

/// In a declaration, what stands for the layout of the hook's own structure.
const CONTEXT: &str = "@ctx";
/// In bytes; members.
const LONGEST_STRUCTURE: u32 = 4096;
const MOST_MEMBERS: usize = 128;
const DEEPEST_STRUCTURE: u32 = 4;

/// The numbers that a structure holds, and where; `None` where it holds anything else.
fn layout(btf: &Btf, ty: TypeId, base: u32, depth: u32, out: &mut Vec<String>) -> Option<()> {
    if depth >= DEEPEST_STRUCTURE {
        return None;
    }
    for m in btf.members(ty).iter() {
        if m.bitfield_size != 0 || m.bit_offset % 8 != 0 || out.len() >= MOST_MEMBERS {
            return None;
        }
        let at = base.checked_add(m.bit_offset / 8)?;
        let of = btf.resolve(m.ty);
        match btf.ty(of)? {
            Type::Struct(_) => layout(btf, of, at, depth + 1, out)?,
            Type::Array { elem, len, .. } => out.push(format!("{}x{len}@{at}", number(btf, elem)?)),
            _ => out.push(format!("{}@{at}", number(btf, of)?)),
        }
    }
    Some(())
}

/// Whether an object declares what it calls with the structures that it has: numbers are compared with all other functions' where they are resolved.
pub(crate) fn same_structures(
    host: &HostDescription,
    object: &probity_objfile::Object,
    export: &Exported,
) -> Result<(), Error> {
    if !export.declaration.contains('{') {
        return Ok(());
    }
    let btf = object.btf.as_deref();
    let declared = btf.and_then(|btf| Some((btf, btf.find_func(export.name)?)));
    let same = declared.is_some_and(|(btf, func)| {
        let contexts = host.hooks.iter().map(|h| Some(h.context.name.as_str()));
        contexts
            .chain([None])
            .any(|c| declaration(btf, func, c).as_deref() == Ok(export.declaration))
    });
    match same {
        true => Ok(()),
        false => Err(Error::Export(format!(
            "`{}` is declared with another structure than the extension has that exports it: {}",
            export.name, export.declaration
        ))),
    }
}

fn number(btf: &Btf, ty: TypeId) -> Option<&'static str> {
    match btf.resolved(ty)? {
        Type::Int { size, encoding, .. } => match (size, encoding.signed) {
            (1, _) if encoding.bool => Some("bool"),
            (1, true) => Some("char"),
            (1, false) => Some("u8"),
            (2, false) => Some("u16"),
            (4, true) => Some("int"),
            (4, false) => Some("u32"),
            (8, true) => Some("s64"),
            (8, false) => Some("u64"),
            _ => None,
        },
        _ => None,
    }
}

/// What a function does that only its own program's call can follow.
fn callable(program: &VerifiedProgram, verified: &Verified) -> Result<(), String> {
    let platform = verified.platform();
    for (insn, fact) in program.insns().iter().zip(program.facts()) {
        match insn {
            _ if !fact.reached => {}
            Insn::Call(CallTarget::Helper(id)) => {
                let Some(row) = platform.helper(*id) else {
                    return Err(format!("its program calls helper {id}"));
                };
                let later = row.args.iter().any(|a| a.kind == ArgKind::Timer);
                if row.effects.may_not_return || later {
                    return Err(format!("its program calls bpf_{}", row.name));
                }
            }
            Insn::Call(CallTarget::Kfunc { id, .. }) => {
                let types = platform.types.as_deref();
                let name = types.map_or("", |t| t.name(TypeId(*id)));
                let row = platform.kfunc(name);
                if row.is_none_or(|r| r.special == Some(KfuncSpecial::Throw)) {
                    return Err(format!("its program calls {name}"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The hook that a program is for.
fn own_hook<'h>(
    host: &'h HostDescription,
    program: &VerifiedProgram,
) -> Option<&'h crate::HookDescription> {
    let mut hooks = host.hooks.iter().enumerate();
    let found = hooks.find(|(n, _)| prog_type(*n) == program.prog_type());
    found.map(|(_, h)| h)
}

/// The hooks that offer everything that the program uses.
fn kinds(
    host: &HostDescription,
    verified: &Verified,
    program: &VerifiedProgram,
    takes_context: bool,
) -> Vec<u32> {
    let context = own_hook(host, program).map(|h| &h.context);
    let platform = verified.platform();
    let (mut helpers, mut functions) = (BTreeSet::new(), BTreeSet::new());
    for (insn, fact) in program.insns().iter().zip(program.facts()) {
        match insn {
            _ if !fact.reached => {}
            Insn::Call(CallTarget::Helper(id)) => {
                helpers.insert(platform.helper(*id).map_or("?", |h| h.name));
            }
            Insn::Call(CallTarget::Kfunc { id, .. }) => {
                let types = platform.types.as_deref();
                functions.insert(types.map_or("?", |t| t.name(TypeId(*id))));
            }
            _ => {}
        }
    }
    let own = program.prog_type();
    let of_host = |f: &&&str| host.functions.iter().any(|h| h.name == **f);
    let offers = |(n, h): &(usize, &crate::HookDescription)| {
        prog_type(*n) == own
            || helpers.iter().all(|u| h.helpers.iter().any(|o| o == u))
                && functions
                    .iter()
                    .filter(of_host)
                    .all(|u| h.functions.iter().any(|o| o == u))
    };
    // Whoever hands over its context has the very same.
    let fits = |(n, h): &(usize, &crate::HookDescription)| {
        !takes_context || prog_type(*n) == own || context == Some(&h.context)
    };
    let hooks = host.hooks.iter().enumerate().filter(offers).filter(fits);
    hooks.map(|(n, _)| prog_type(n).0).collect()
}

/// Rows live as long as the process, so what is the same in every generation is there once.
#[derive(Default)]
pub(crate) struct Pool {
    texts: Mutex<BTreeSet<&'static str>>,
    kinds: Mutex<BTreeSet<&'static [u32]>>,
}

impl Pool {
    fn text(&self, text: &str) -> &'static str {
        let mut known = lock(&self.texts);
        if let Some(known) = known.get(text) {
            return known;
        }
        let new = Box::leak(text.to_owned().into_boxed_str());
        known.insert(new);
        new
    }

    fn kinds(&self, kinds: &[u32]) -> &'static [u32] {
        let mut known = lock(&self.kinds);
        if let Some(known) = known.get(kinds) {
            return known;
        }
        let new = Box::leak(kinds.to_vec().into_boxed_slice());
        known.insert(new);
        new
    }
}
