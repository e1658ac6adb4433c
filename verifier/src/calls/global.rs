//! Global functions: verified once on their own, with whatever their prototypes allow, and at a call only
//! the arguments are checked against the prototype.
//!
//! - A parameter is a number, the context, memory of the size of what a pointer points to, or what the
//!   declaration tags `arg:…` on it say.
//! - A call gives any number, and has the effects that the function may have, walked or not.
//!
//! **Invariant:** what [`parameters`] promises to the walk of a function, [`call`] demands of its callers. How far a
//! pointer to a kernel structure is to be believed is the caller's to say: a function that is handed one under RCU
//! protection is walked with such a one too.
//!
//! **Invariant:** only functions that live code calls are walked.

use std::rc::Rc;

use probity_btf::{Btf, Type, TypeId, essential_name};
use probity_isa::{CallTarget, Insn, Pc};
use probity_platform::Spelling;

use crate::args;
use crate::call::{ARGS, Next, finish, forget_packet};
use crate::effects::Effects;
use crate::env::Env;
use crate::memory::{self, describe};
use crate::object::DynptrKind;
use crate::reject::{Explain, Failure, Outcome, fail, unsupported};
use crate::report::Rule;
use crate::state::State;
use crate::value::{Known, Pointer, To, Trust, Value};
use crate::walks::{Entry, Role};

/// What a parameter demands of an argument, and what its function may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parameter {
    Number,
    /// An address in the arena, to the function a number: it has to cast it.
    Arena,
    Context,
    /// Readable and writable bytes, or NULL.
    Memory {
        size: u32,
        nullable: bool,
    },
    /// A dynptr, of whatever it may be.
    Dynptr,
    /// Any pointer or number, as a pointer to a kernel structure that nothing is known of.
    Untrusted {
        /// 0: to bytes.
        type_id: u32,
    },
    /// A structure of the kernel.
    Kernel {
        type_id: u32,
        nullable: bool,
    },
}

/// Whether a subprogram is called as a global function.
pub(crate) fn is_global(env: &Env<'_>, subprog: usize) -> bool {
    subprog > 0
        && env
            .cfg
            .subprogs
            .get(subprog)
            .is_some_and(|s| s.global && s.func.is_some())
}

/// The parameters of a global function, or why it cannot be verified on its own.
pub(crate) fn parameters(env: &mut Env<'_>, subprog: usize) -> Outcome<Rc<Vec<Parameter>>> {
    if let Some(known) = env.parameters.get(&subprog) {
        return Ok(known.clone());
    }
    let found = Rc::new(from_prototype(env, subprog)?);
    env.parameters.insert(subprog, found.clone());
    Ok(found)
}

fn unusable(name: &str, known: &str) -> Box<Failure> {
    let must =
        format!("the prototype of the global function `{name}` says what it takes and gives");
    fail(Rule::BadArgument, &must, known)
        .hint("make it `static`, or change the parameter's type or its tags")
}

fn from_prototype(env: &Env<'_>, subprog: usize) -> Outcome<Vec<Parameter>> {
    let s = &env.cfg.subprogs[subprog];
    let (Some(types), Some(func)) = (env.object.btf.as_deref(), s.func) else {
        return Err(unusable(&s.name, "it has no prototype"));
    };
    let Some(Type::FuncProto { ret, params }) = types.proto(func).and_then(|p| types.ty(p)) else {
        return Err(unusable(&s.name, "its type is not a function's"));
    };
    if params.len() > ARGS.len() {
        return Err(unusable(
            &s.name,
            &format!("it has {} parameters", params.len()),
        ));
    }
    if !is_number(types, ret) {
        return Err(unusable(&s.name, "it does not return a number"));
    }
    let mut tags: Vec<Vec<&str>> = vec![Vec::new(); params.len()];
    for id in types.tags_on(func) {
        if let Some(Type::DeclTag {
            component: Some(i),
            value,
            ..
        }) = types.ty(id)
            && let (Some(list), Some(tag)) = (tags.get_mut(i as usize), value.strip_prefix("arg:"))
        {
            list.push(tag);
        }
    }
    let one = |(i, ty): (usize, TypeId)| {
        parameter(env, types, ty, &tags[i]).map_err(|e| match e {
            Unfit::Known(known) => unusable(&s.name, &format!("parameter {} {known}", i + 1)),
            Unfit::Unsupported(what) => unsupported(what),
        })
    };
    params.iter().map(|p| p.ty).enumerate().map(one).collect()
}

/// Functions that may end in the middle (a legacy packet load, a tail call) return numbers by their types,
/// where they have any: that is what their callers then find.
pub(crate) fn ends_anywhere(env: &Env<'_>) -> Outcome<()> {
    let Some(types) = env.object.btf.as_deref() else {
        return Ok(());
    };
    for s in env.cfg.subprogs.iter().skip(1) {
        let ends = |pc: &Pc| match &env.cfg.insns[*pc] {
            Insn::LoadPacket { .. } => true,
            Insn::Call(CallTarget::Helper(id)) => env
                .platform
                .helper(*id)
                .is_some_and(|h| h.effects.may_not_return),
            _ => false,
        };
        let ret = s.func.and_then(|f| types.ty(types.proto(f)?));
        if let Some(Type::FuncProto { ret, .. }) = ret
            && !is_number(types, ret)
            && let Some(pc) = (s.start..s.end).find(ends)
        {
            let must = "a function that may end in the middle returns a number";
            let known = format!("`{}` does not, by its prototype", s.name);
            return Err(Box::new(Failure {
                pc: Some(pc),
                ..*fail(Rule::ReturnValue, must, &known)
            }));
        }
    }
    Ok(())
}

fn is_number(types: &Btf, ty: TypeId) -> bool {
    matches!(
        types.resolved(ty),
        Some(Type::Int { .. } | Type::Enum(_) | Type::Enum64(_))
    )
}

enum Unfit {
    Known(String),
    Unsupported(&'static str),
}

fn parameter(env: &Env<'_>, types: &Btf, ty: TypeId, tags: &[&str]) -> Result<Parameter, Unfit> {
    let known = |text: &str| Err(Unfit::Known(text.to_string()));
    let tagged = |tag: &&&str| !env.platform.knows_parameter_tag(tag);
    if let Some(tag) = tags.iter().find(tagged) {
        return known(&format!("has the tag `{tag}`, which says nothing"));
    }
    let has = |tag: &str| tags.contains(&tag);
    let only = |allowed: &[&str]| tags.iter().all(|t| allowed.contains(t));
    let mixed = || known("has tags that do not go together");
    let Some(to) = types.pointee(ty) else {
        if !tags.is_empty() {
            return known("is tagged as a pointer and is none");
        }
        return match is_number(types, ty) {
            true => Ok(Parameter::Number),
            false => known("is neither a number nor a pointer"),
        };
    };
    if has("ctx") || names_context(env, types, to, false) {
        if !only(&["ctx"]) {
            return mixed();
        }
        if has("ctx") && !names_context(env, types, to, true) {
            return known(&format!(
                "is tagged as the context, but `{}` is not that of `{}` programs",
                types.name(types.resolve(to)),
                env.kind.name
            ));
        }
        return Ok(Parameter::Context);
    }
    let resolved = types.resolve(to);
    if matches!(types.ty(resolved), Some(Type::Struct(_) | Type::Fwd { .. }))
        && matches!(types.name(resolved), "bpf_dynptr" | "bpf_dynptr_kern")
    {
        return match tags.is_empty() {
            true => Ok(Parameter::Dynptr),
            false => mixed(),
        };
    }
    if has("trusted") {
        if !only(&["trusted", "nullable"]) {
            return mixed();
        }
        let name = essential_name(types.name(resolved));
        let Some(kernel) = env.platform.types.as_deref() else {
            return Err(Unfit::Unsupported(
                "kernel structures without the kernel's types",
            ));
        };
        return match kernel.find_struct(name) {
            Some(id) if !name.is_empty() => Ok(Parameter::Kernel {
                type_id: id.0,
                nullable: has("nullable"),
            }),
            _ => known(&format!(
                "points to `{name}`, which the kernel's types do not have"
            )),
        };
    }
    if has("untrusted") {
        return match only(&["untrusted"]) {
            true => untrusted(env, types, resolved),
            false => mixed(),
        };
    }
    if has("arena") {
        return match only(&["arena"]) {
            true => Ok(Parameter::Arena),
            false => mixed(),
        };
    }
    if !only(&["nonnull"]) {
        return mixed();
    }
    match types.size_of(to) {
        Some(size) => Ok(Parameter::Memory {
            size,
            nullable: !has("nonnull"),
        }),
        None => known("points to something of unknown size"),
    }
}

/// A pointer that is read by loads that may fault and then give 0, whatever it is.
fn untrusted(env: &Env<'_>, types: &Btf, to: TypeId) -> Result<Parameter, Unfit> {
    let known = |text: String| Err(Unfit::Known(text));
    if matches!(types.ty(to), Some(Type::Void)) || is_number(types, to) {
        return Ok(Parameter::Untrusted {
            type_id: TypeId::VOID.0,
        });
    }
    let Some(kernel) = env.platform.types.as_deref() else {
        return Err(Unfit::Unsupported(
            "kernel structures without the kernel's types",
        ));
    };
    let name = essential_name(types.name(to));
    match kernel.find_struct(name).filter(|_| !name.is_empty()) {
        Some(id) => Ok(Parameter::Untrusted { type_id: id.0 }),
        None => known(format!(
            "points to `{name}`, which is no structure of the kernel's types"
        )),
    }
}

/// Whether a pointer to this type is the context of the program's kind, with the tag that says so or without.
fn names_context(env: &Env<'_>, types: &Btf, to: TypeId, tagged: bool) -> bool {
    let attach = env.attach_type().or(env.kind.default_attach);
    let resolved = types.resolve(to);
    let ty = types.ty(resolved);
    if tagged && matches!(ty, Some(Type::Void)) {
        return true;
    }
    let structure = matches!(ty, Some(Type::Struct(_))).then(|| types.name(resolved));
    env.kind.context_spellings(attach, tagged).any(|s| match s {
        Spelling::Struct(name) => structure == Some(name),
        Spelling::Prefix(start) => structure.is_some_and(|s| s.starts_with(start)),
        Spelling::Typedef(name) => goes_through(types, to, name),
        Spelling::Word => matches!(ty, Some(Type::Int { size: 8, .. })),
        Spelling::Any => true,
    })
}

/// Whether a type is this typedef, behind qualifiers.
fn goes_through(types: &Btf, mut id: TypeId, name: &str) -> bool {
    loop {
        // Ends: parsing refused endless chains.
        id = match types.ty(id) {
            Some(Type::Typedef(_)) => return types.name(id) == name,
            Some(
                Type::Volatile(to)
                | Type::Const(to)
                | Type::Restrict(to)
                | Type::TypeTag { target: to, .. },
            ) => to,
            _ => return false,
        };
    }
}

/// A call: the arguments are checked, the function is noted to be walked, and any number comes back.
pub(crate) fn call(env: &mut Env<'_>, state: &mut State, pc: Pc, subprog: usize) -> Outcome<Next> {
    let name = env.cfg.subprogs[subprog].name.clone();
    let effects = env.effects.get(subprog).map(|e| e.all).unwrap_or_default();
    if !state.regions.locks.is_empty() {
        let known = format!("`{name}` is global");
        let must = "no global function is called while a lock is held";
        return Err(fail(Rule::Lock, must, &known).hint("make it `static`"));
    }
    let quiet = state.regions.is_empty();
    if effects.sleeps && !(env.sleepable() && quiet) {
        let must = "a function that may sleep is called by sleepable programs, outside of regions that must not sleep";
        let known = format!("`{name}` may sleep");
        return Err(fail(Rule::CallNotAllowed, must, &known));
    }
    if effects.throws && !(quiet && state.references.is_empty()) {
        let must = "a function that may throw is called with nothing held";
        let known = format!("`{name}` may throw, and references, locks or sections are held");
        return Err(fail(Rule::Reference, must, &known));
    }
    let parameters = parameters(env, subprog)?;
    let mut trusts = [Trust::Trusted; 5];
    for (i, parameter) in parameters.iter().enumerate() {
        argument(env, state, &name, i, *parameter, effects)?;
        if let (Parameter::Kernel { .. }, Value::Pointer(p)) = (parameter, state.reg(ARGS[i]))
            && let To::Kernel { trust, .. } = p.to
            && p.reference == 0
        {
            trusts[i] = trust;
        }
    }
    if effects.changes_packet {
        forget_packet(env, state);
    }
    finish(state, pc, Value::unknown());
    let by_trust = parameters
        .iter()
        .any(|p| matches!(p, Parameter::Kernel { .. }));
    if by_trust || !env.queue.has(subprog, Role::Global) {
        let entry = entry(env, subprog, &parameters, trusts);
        env.queue.add(entry);
    }
    Ok(Next::At(env.cfg.next(pc)))
}

/// What the walk of a global function starts from, that is handed kernel structures of such trust.
fn entry(env: &mut Env<'_>, subprog: usize, parameters: &[Parameter], trusts: [Trust; 5]) -> Entry {
    let mut args = [Value::Uninit; 5];
    for ((arg, parameter), trust) in args.iter_mut().zip(parameters).zip(trusts) {
        let pointer = |env: &mut Env<'_>, to: To, nullable: bool| {
            let p = Pointer::new(to);
            Value::Pointer(if nullable {
                p.or_null(env.fresh_id())
            } else {
                p
            })
        };
        *arg = match *parameter {
            Parameter::Number | Parameter::Arena => Value::unknown(),
            Parameter::Untrusted { type_id } => Value::pointer(To::Kernel {
                type_id,
                trust: Trust::Untrusted,
            }),
            Parameter::Context => env.context,
            Parameter::Memory { size, nullable } => {
                let to = To::Memory {
                    size,
                    writable: true,
                };
                pointer(env, to, nullable)
            }
            Parameter::Dynptr => Value::Pointer(Pointer {
                id: env.fresh_id(),
                ..Pointer::new(To::Dynptr {
                    kind: DynptrKind::Any,
                })
            }),
            Parameter::Kernel { type_id, nullable } => {
                pointer(env, To::Kernel { type_id, trust }, nullable)
            }
        };
    }
    Entry {
        subprog,
        role: Role::Global,
        sleepable: env.program.hook.sleepable,
        args,
    }
}

fn argument(
    env: &mut Env<'_>,
    state: &mut State,
    name: &str,
    index: usize,
    parameter: Parameter,
    effects: Effects,
) -> Outcome<()> {
    let reg = ARGS[index];
    let value = *state.reg(reg);
    let wrong = |env: &Env<'_>, what: &str| {
        let known = match &value {
            Value::Pointer(p) if p.null => format!("{reg} is {} or NULL", describe(env, p)),
            Value::Pointer(p) => format!("{reg} is {}", describe(env, p)),
            Value::Number(n) => format!("{reg} is a number: {}", Known(&n.set)),
            Value::Uninit => format!("{reg} is uninitialised"),
        };
        let must = format!(
            "argument {} of the global function `{name}` is {what}",
            index + 1
        );
        Err(fail(Rule::BadArgument, &must, &known).about(reg))
    };
    let null = match value {
        Value::Number(n) if n.set.as_constant() == Some(0) => {
            env.origins.need(n.origin);
            true
        }
        _ => false,
    };
    match (parameter, value) {
        (Parameter::Number, Value::Number(_)) => Ok(()),
        (Parameter::Number, _) => wrong(env, "a number"),
        (Parameter::Arena, Value::Number(_)) => Ok(()),
        (Parameter::Arena, Value::Pointer(p)) if p.to == To::Arena => Ok(()),
        (Parameter::Arena, _) => wrong(env, "an address in the arena"),
        (Parameter::Context, Value::Pointer(p))
            if !p.null && p.constant_offset() == Some(0) && is_context(env, &p) =>
        {
            Ok(())
        }
        (Parameter::Context, _) => wrong(env, "the context, unmodified"),
        (Parameter::Untrusted { .. }, Value::Uninit) => wrong(env, "initialised"),
        (Parameter::Untrusted { .. }, _) => memory::no_leak(env, &value, reg),
        (Parameter::Dynptr, _) => crate::dynptr::lend(env, state, name, reg),
        (
            Parameter::Memory { nullable: true, .. } | Parameter::Kernel { nullable: true, .. },
            _,
        ) if null => Ok(()),
        (Parameter::Memory { size, nullable }, Value::Pointer(p)) => {
            if p.null && !nullable {
                return wrong(env, "not NULL");
            }
            let in_packet = p.is_packet() || matches!(p.to, To::Slice { packet: true, .. });
            // The function would not see that its memory is gone.
            if effects.changes_packet && in_packet {
                return wrong(
                    env,
                    "memory outside of the packet, which the function may change",
                );
            }
            // The bytes are looked at when it is not NULL.
            let there = Pointer { null: false, ..p };
            let writes = args::memory(env, state, name, index, there, i64::from(size))?;
            for w in writes {
                memory::clobber(state, env, w.frame, w.low, w.high, w.size)?;
            }
            Ok(())
        }
        (Parameter::Memory { size, .. }, _) => {
            wrong(env, &format!("a pointer to memory of {size} bytes"))
        }
        (Parameter::Kernel { type_id, nullable }, Value::Pointer(p)) => {
            let types = env.platform.types.as_deref();
            let same = |has: u32| {
                has == type_id
                    || types.is_some_and(|t| {
                        crate::kernel::begins_with(t, TypeId(has), t.name(TypeId(type_id)))
                    })
            };
            match p.to {
                To::Kernel {
                    type_id: has,
                    trust,
                } if (trust != Trust::Untrusted || p.reference != 0)
                    && (nullable || !p.null)
                    && p.constant_offset() == Some(0)
                    && same(has) =>
                {
                    Ok(())
                }
                _ => wrong(env, "a pointer to the kernel structure, not untrusted"),
            }
        }
        (Parameter::Kernel { .. }, _) => wrong(env, "a pointer to the kernel structure"),
    }
}

/// The program's own context, whole.
fn is_context(env: &Env<'_>, p: &Pointer) -> bool {
    match (p.to, env.context) {
        (To::Context, Value::Pointer(c)) => c.to == To::Context,
        (to @ To::Memory { .. }, Value::Pointer(c)) => to == c.to,
        _ => false,
    }
}
