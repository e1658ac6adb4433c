//! Calls: of helpers by their rows, of subprograms with the caller's state, and returns.
//!
//! A helper's call checks every argument against its row first and gathers what the call will do
//! ([`Effect`]); only then is the state changed.
//!
//! **Invariant:** no helper is named here.

use probity_domains::Scalar;
use probity_isa::{Pc, Reg, Size};
use probity_platform::{Arg, Helper, Lookup, Prototype, Ret};

use crate::alloc;
use crate::args::{self, Found};
use crate::env::{Env, MAX_FRAMES};
use crate::kptr;
use crate::lock;
use crate::memory::{self, describe};
use crate::regions::LockKind;
use crate::reject::{Explain, Outcome, fail, unsupported};
use crate::report::Rule;
use crate::special::Special;
use crate::stack::SlotSet;
use crate::state::{Frame, Reference, State};
use crate::typed::{self, Returned};
use crate::value::{Id, MapRef, Number, Pointer, Socket, To, Trust, Value};
use crate::walks::Role;
use crate::worst::Kind as Clock;

pub(crate) const ARGS: [Reg; 5] = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];

/// Where execution goes after a call or an exit.
pub(crate) enum Next {
    /// On, at this instruction.
    At(Pc),
    /// On here, and later elsewhere in another state.
    Fork {
        now: Pc,
        later: Pc,
        state: Box<State>,
    },
    /// The program has ended.
    End,
}

/// May this program call it at all?
fn allowed(env: &Env<'_>, row: &Helper) -> Outcome<()> {
    let attach = env.attach_type().or(env.kind.default_attach);
    if !env.kind.helpers.allows(row.name, attach) {
        let known = format!("`{}` programs may not call bpf_{}", env.kind.name, row.name);
        return Err(fail(
            Rule::CallNotAllowed,
            "the program kind may call the helper",
            &known,
        ));
    }
    if let Some(typed) = &env.typed
        && let Some(ops) = typed.ops
        && !ops.allows(&typed.name, row.name)
    {
        let known = format!(
            "bpf_{} is not for programs of `{}.{}`",
            row.name, ops.name, typed.name
        );
        let must = "the member that the program implements allows the helper";
        return Err(fail(Rule::CallNotAllowed, must, &known));
    }
    let target = env.target();
    if !env.platform.targets.allow(row.name, attach, target) {
        let known = format!("bpf_{} is not for programs on `{target}`", row.name);
        return Err(fail(
            Rule::CallNotAllowed,
            "the program's target allows the helper",
            &known,
        ));
    }
    if let Some(allowed) = &env.policy.helpers
        && !allowed
            .iter()
            .any(|h| h.strip_prefix("bpf_").unwrap_or(h) == row.name)
    {
        let known = format!("bpf_{} is not on its list", row.name);
        return Err(fail(Rule::Policy, "the policy allows the helper", &known));
    }
    Ok(())
}

pub(crate) fn helper(env: &mut Env<'_>, state: &mut State, pc: Pc, id: u32) -> Outcome<Next> {
    if let Some(p) = env.poisoned.iter().find(|p| p.pc == pc) {
        let must = "every CO-RE relocation that can be reached finds its target";
        return Err(fail(Rule::FailedRelocation, must, &p.what)
            .hint("guard the access with bpf_core_field_exists() or bpf_core_type_exists()"));
    }
    let Some(row) = env.platform.helper(id) else {
        let known = format!("helper {id} does not exist on {}", env.platform.name);
        return Err(fail(
            Rule::CallNotAllowed,
            "the helper is one of the platform's",
            &known,
        ));
    };
    let name = row.name;
    if env.helpers.get(id).is_none() {
        allowed(env, row)?;
        env.helpers.insert(id, ());
    }
    let proto = row.prototype(env.kind.kind);
    if proto.effects.gpl_only && !env.gpl {
        let license = env.object.license.as_deref().unwrap_or("none");
        let known = format!(
            "bpf_{} is for GPL-compatible programs; the licence is `{license}`",
            row.name
        );
        return Err(
            fail(Rule::License, "the licence allows the helper", &known).hint(DECLARE_LICENSE)
        );
    }
    if proto.effects.sleeps && !env.sleepable() {
        let known = format!("bpf_{} may sleep", row.name);
        return Err(fail(
            Rule::CallNotAllowed,
            "only sleepable programs call helpers that sleep",
            &known,
        ));
    }
    lock::call_allowed(state, format_args!("bpf_{name}"), proto.effects.under_lock)?;
    if proto.effects.may_not_return {
        nothing_held(state, None, "before the call")?;
    }
    if proto.effects.sleeps
        && let Some(region) = state.regions.unsleepable()
    {
        let must = format!(
            "bpf_{} may sleep, and is called where sleeping is allowed",
            row.name
        );
        return Err(fail(Rule::CallNotAllowed, &must, &region));
    }
    let found = args::check(env, state, pc, row.name, &proto)?;
    let value = result(env, state, row.name, &proto, &found)?;
    for w in &found.writes {
        memory::clobber(state, env, w.frame, w.low, w.high, w.size)?;
    }
    if let Some((within, left)) = found.lock {
        match left {
            false => lock::take(env, state, pc, LockKind::Spin, within)?,
            true => lock::leave(env, state, LockKind::Spin, within)?,
        }
    }
    if let Some(id) = found.release {
        if found.kptr.is_some() {
            kptr::given_away(env, state, id);
        }
        release(env, state, id)?;
    }
    crate::dynptr::effects(env, state, pc, &found.dynptr)?;
    if proto.effects.changes_packet {
        forget_packet(env, state);
    }
    if let (Value::Pointer(p), Some(_)) = (&value, found.acquires.then_some(())) {
        state.references.push(Reference {
            id: p.reference,
            pc,
        });
    }
    let callback = match found.callback {
        Some((kind, subprog)) => {
            crate::callback::plan(env, state, pc, kind, subprog, &found, value)?
        }
        None => None,
    };
    let replaced = match proto.effects.may_not_return {
        true => replaced(env, state, pc)?,
        false => None,
    };
    finish(state, pc, value);
    let map = found.map.filter(|m| !m.inner).map(MapRef::index);
    env.calls_on(pc, map);
    if let Some(callback) = callback {
        return crate::callback::enter(env, state, std::rc::Rc::new(callback));
    }
    if let Some((later, state)) = replaced {
        return Ok(Next::Fork {
            now: pc + 1,
            later,
            state,
        });
    }
    Ok(Next::At(pc + 1))
}

/// What a subprogram's caller finds when a tail call puts another program in the subprogram's place:
/// that program returns to it with any number, and may have changed the packet.
fn replaced(env: &mut Env<'_>, state: &State, pc: Pc) -> Outcome<Option<(Pc, Box<State>)>> {
    if state.frames.len() == 1 {
        return Ok(None);
    }
    if state.frames.iter().any(|f| f.callback.is_some()) {
        let must = "no program takes the place of a callback";
        return Err(fail(Rule::CallNotAllowed, must, "the tail call is in one"));
    }
    let mut other = state.clone();
    forget_packet(env, &mut other);
    other.set(pc, Reg::R0, Value::unknown());
    match exit(env, &mut other, pc)? {
        Next::At(later) => Ok(Some((later, Box::new(other)))),
        _ => Err(unsupported("tail calls where nothing is returned to")),
    }
}

/// r0 has the result, r1 to r5 are lost.
pub(crate) fn finish(state: &mut State, pc: Pc, value: Value) {
    state.set(pc, Reg::R0, value);
    state.frame_mut().lose(&ARGS, pc);
}

/// The reference is given back: nothing points to its memory any more.
pub(crate) fn release(env: &Env<'_>, state: &mut State, id: Id) -> Outcome<()> {
    if !state.holds(id) {
        let known = "it was released before";
        return Err(fail(Rule::Reference, "a reference is released once", known));
    }
    state.references.retain(|r| r.id != id);
    let gone = gone(env);
    state.for_each_pointer(|p| p.reference == id, |v| *v = gone);
    Ok(())
}

pub(crate) fn forget_packet(env: &Env<'_>, state: &mut State) {
    let gone = gone(env);
    let packet = |p: &Pointer| {
        let slice = matches!(p.to, To::Slice { packet: true, .. });
        p.is_packet() || p.to == To::PacketEnd || slice
    };
    state.for_each_pointer(packet, |v| *v = gone);
}

/// What is left of a pointer to what is no longer there: a number where addresses may be seen.
pub(crate) fn gone(env: &Env<'_>) -> Value {
    if env.leaks_ok() {
        Value::unknown()
    } else {
        Value::Uninit
    }
}

/// Nothing is to be released or left any more.
/// `given`: the reference that the program hands back.
pub(crate) fn nothing_held(state: &State, given: Option<Id>, when: &str) -> Outcome<()> {
    if state.references.iter().any(|r| Some(r.id) != given) {
        return Err(leak(state, when));
    }
    match state.regions.unsleepable() {
        Some(region) => Err(fail(
            Rule::Lock,
            "locks and sections are left on every path",
            &format!("{region} {when}"),
        )),
        None => Ok(()),
    }
}

fn leak(state: &State, when: &str) -> Box<crate::reject::Failure> {
    let pcs: Vec<String> = state.references.iter().map(|r| r.pc.to_string()).collect();
    let known = format!(
        "references acquired at instruction {} are still held {when}",
        pcs.join(", ")
    );
    fail(
        Rule::Reference,
        "every acquired reference is released on every path",
        &known,
    )
}

/// What r0 is after the call.
fn result(
    env: &mut Env<'_>,
    state: &State,
    name: &str,
    proto: &Prototype,
    found: &Found,
) -> Outcome<Value> {
    let acquire = |p: Pointer, found: &Found, id: Id| Pointer {
        reference: if found.acquires { id } else { p.reference },
        ..p
    };
    let pointer = Pointer::new;
    match (proto.ret, found.kptr, found.percpu) {
        (Ret::KptrOrNull, Some(field), _) => return kptr::exchanged(env, &field),
        (Ret::PercpuMem { nullable }, _, Some(type_id)) => {
            return Ok(alloc::of_cpu(env, type_id, nullable));
        }
        (Ret::PercpuMem { nullable }, _, None) => {
            if let Some(type_id) = found.percpu_kernel {
                return crate::ksym::of_cpu(env, type_id, nullable);
            }
        }
        _ => {}
    }
    Ok(match proto.ret {
        Ret::Void => Value::Uninit,
        Ret::Integer { min, max } => match Scalar::from_signed(min, max) {
            Some(set) => Value::number(set),
            None => Value::unknown(),
        },
        Ret::SizeOrError => {
            let most = found
                .size
                .map_or(i64::MAX, |n| n.set.umax().min(i64::MAX as u64) as i64);
            let origin = found.size.map_or_else(Default::default, |n| n.origin);
            match Scalar::from_signed(-4095, most.max(0)) {
                Some(set) => Value::Number(Number {
                    set,
                    link: 0,
                    add: 0,
                    origin,
                }),
                None => Value::unknown(),
            }
        }
        Ret::MapValueOrNull | Ret::MapValue => {
            let Some(map) = found.map else {
                return Err(unsupported(&format!("bpf_{name} without a map")));
            };
            let lookup = env.map_kind(env.map(map)?)?.lookup;
            let to = match lookup {
                Lookup::Value => To::MapValue(map),
                Lookup::Map => {
                    if map.inner || env.map(MapRef { inner: true, ..map }).is_err() {
                        let known =
                            format!("map `{}` has no inner map definition", env.map_name(map));
                        return Err(fail(
                            Rule::MapKind,
                            "a map of maps says what its maps are like",
                            &known,
                        ));
                    }
                    To::Map(MapRef { inner: true, ..map })
                }
                Lookup::XdpSock => To::Socket(Socket::XdpSock),
                Lookup::Socket => To::Socket(Socket::Sock),
                // Storage that a helper of its own finds.
                Lookup::Nothing => To::MapValue(map),
            };
            let sure = proto.ret == Ret::MapValue || lookup == Lookup::Value && found.present;
            let id = env.fresh_id();
            let mut p = acquire(pointer(to), found, id);
            match to {
                To::MapValue(_) => p.parent = found.lookup,
                To::Map(inner) if env.fields(inner).is_some_and(Special::named_with_map) => {
                    p.parent = id;
                }
                _ => {}
            }
            if env.keeps_id(&to) {
                p.id = id;
            }
            Value::Pointer(if sure { p } else { p.or_null(id) })
        }
        Ret::RingbufMemOrNull => {
            let Some(size) = found.alloc else {
                return Err(unsupported(&format!("bpf_{name} without a size")));
            };
            let id = env.fresh_id();
            Value::Pointer(
                Pointer {
                    reference: id,
                    ..pointer(To::Record { size })
                }
                .or_null(id),
            )
        }
        Ret::SocketOrNull { .. } | Ret::TcpSockOrNull { .. } | Ret::SockCommonOrNull { .. } => {
            let socket = match proto.ret {
                Ret::SocketOrNull { .. } => Socket::Sock,
                Ret::TcpSockOrNull { .. } => Socket::TcpSock,
                _ => Socket::SockCommon,
            };
            let id = env.fresh_id();
            let mut p = acquire(pointer(To::Socket(socket)), found, id).or_null(id);
            if proto.effects.casts
                && let Value::Pointer(from) = state.reg(Reg::R1)
            {
                p.reference = from.reference;
                p.parent = from.parent;
            }
            Value::Pointer(p)
        }
        Ret::Btf {
            name,
            nullable,
            trusted,
            acquire: false,
        } => {
            let Some(id) = env
                .platform
                .types
                .as_ref()
                .and_then(|t| t.find_struct(name))
            else {
                return Err(unsupported(&format!(
                    "kernel structures without the kernel's types (`{name}`)"
                )));
            };
            let trust = if trusted {
                Trust::Trusted
            } else {
                Trust::Plain
            };
            let mut p = pointer(To::Kernel {
                type_id: id.0,
                trust,
            });
            // Found through a referenced structure: it is gone when that one is released.
            if let Value::Pointer(from) = state.reg(Reg::R1) {
                p.reference = from.reference;
                p.parent = from.parent;
            }
            Value::Pointer(if nullable {
                p.or_null(env.fresh_id())
            } else {
                p
            })
        }
        Ret::DynptrMemOrNull => {
            let id = env.fresh_id();
            let memory = found
                .alloc
                .and_then(|size| found.dynptr.memory(size, true, id));
            match memory {
                Some(p) => Value::Pointer(p),
                None => return Err(unsupported(&format!("bpf_{name} without a dynptr"))),
            }
        }
        other => {
            return Err(unsupported(&format!(
                "the result of bpf_{name} ({other:?})"
            )));
        }
    })
}

/// Whether the call makes a reference that must be released.
pub(crate) fn acquires(env: &Env<'_>, proto: &Prototype, map: Option<MapRef>) -> bool {
    match proto.ret {
        Ret::RingbufMemOrNull | Ret::KptrOrNull => true,
        Ret::SocketOrNull { acquire }
        | Ret::TcpSockOrNull { acquire }
        | Ret::SockCommonOrNull { acquire } => acquire,
        Ret::MapValueOrNull => map.is_some_and(|m| {
            env.map(m)
                .and_then(|m| env.map_kind(m))
                .is_ok_and(|k| k.lookup == Lookup::Socket)
        }),
        _ => false,
    }
}

pub(crate) const DECLARE_LICENSE: &str = "declare `char LICENSE[] SEC(\"license\") = \"GPL\";`, in Rust \
    `#[unsafe(link_section = \"license\")] #[unsafe(no_mangle)] static LICENSE: [u8; 4] = *b\"GPL\\0\";`";

pub(crate) fn subprogram(
    env: &mut Env<'_>,
    state: &mut State,
    pc: Pc,
    entry: usize,
) -> Outcome<Next> {
    if crate::global::is_global(env, entry) {
        return crate::global::call(env, state, pc, entry);
    }
    let start = env.cfg.subprogs[entry].start;
    push_frame(env, state, entry, pc + 1)?;
    let caller = state.frames.len() - 2;
    for r in ARGS {
        let value = state.frames[caller].regs[r.index()];
        let set_at = state.frames[caller].set_at[r.index()];
        let frame = state.frame_mut();
        frame.regs[r.index()] = value;
        frame.set_at[r.index()] = set_at;
    }
    if let Some(f) = state.frame_at(caller) {
        for r in [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
            f.regs[r.index()] = Value::Uninit;
        }
    }
    Ok(Next::At(start))
}

pub(crate) fn push_frame(
    env: &mut Env<'_>,
    state: &mut State,
    subprog: usize,
    return_pc: Pc,
) -> Outcome<()> {
    let most = env.platform.limits.frames.min(MAX_FRAMES);
    if state.frames.len() >= most {
        let must = format!("calls nest at most {most} deep");
        let known = format!(
            "`{}` would be called at depth {}",
            env.cfg.subprogs[subprog].name,
            state.frames.len() + 1
        );
        return Err(fail(Rule::CallDepth, &must, &known));
    }
    let index = state.frames.len();
    state
        .frames
        .push(std::rc::Rc::new(Frame::new(subprog, index, return_pc)));
    if let Some(w) = state.written.get_mut(index) {
        // A new frame's stack comes from no earlier state.
        *w = SlotSet::ALL;
    }
    if env.cfg.may_goto {
        let clock = env.fresh_id();
        env.worst.clock(clock, Clock::MayGoto);
        state.start_frame_clock(clock);
    }
    Ok(())
}

pub(crate) fn exit(env: &mut Env<'_>, state: &mut State, pc: Pc) -> Outcome<Next> {
    if state.frames.len() == 1 {
        return end(env, state);
    }
    if state.frame().callback.is_some() {
        return crate::callback::leave(env, state, pc);
    }
    if let Value::Pointer(p) = *state.reg(Reg::R0)
        && matches!(p.to, To::Stack { frame } if frame == state.depth())
    {
        let known = format!("r0 is {}", describe(env, &p));
        return Err(fail(
            Rule::PointerLeak,
            "a subprogram does not return a pointer to its stack",
            &known,
        )
        .about(Reg::R0));
    }
    let return_pc = state.frame().return_pc;
    let r0 = state.pop_frame(env);
    state.set(pc, Reg::R0, r0);
    Ok(Next::At(return_pc))
}

fn end(env: &mut Env<'_>, state: &State) -> Outcome<Next> {
    let given = match env.role {
        Role::Main => typed::returned_reference(env, state),
        _ => None,
    };
    nothing_held(state, given, "at exit")?;
    match env.role {
        Role::Main if given.is_some() => Ok(Next::End),
        Role::Main | Role::Exception => result_allowed(env, state, Reg::R0),
        Role::Global => returned(env, state, None),
        Role::Later(min, max) => returned(env, state, Some((min, max))),
    }
}

/// The program ends with what the register holds.
pub(crate) fn result_allowed(env: &mut Env<'_>, state: &State, reg: Reg) -> Outcome<Next> {
    let attach = env.attach_type().or(env.kind.default_attach);
    let range = env.kind.return_range(attach).map(|r| (r.min, r.max));
    // A hook that returns nothing takes anything; one that returns a truth value takes these.
    let returned = env.typed.as_ref().map_or(Returned::Integer, |t| t.returned);
    let range = match returned {
        Returned::Nothing => None,
        Returned::Bool => range.map(|_| (0, 1)),
        Returned::Integer => range,
        Returned::Only(n) => Some((n, n)),
        Returned::Pointer { .. } => Some((0, 0)),
    };
    let kind = env.kind.name;
    let must = || match range {
        Some((min, max)) => format!("`{kind}` programs return {min} to {max}"),
        None => format!("{reg} holds the return value"),
    };
    match (state.reg(reg), range) {
        _ if returned == Returned::Nothing => Ok(Next::End),
        (Value::Uninit, _) => Err(fail(
            Rule::Uninitialised,
            &format!("{reg} holds the return value at exit"),
            &format!("{reg} was never written"),
        )
        .about(reg)),
        (Value::Number(n), Some((min, max))) => {
            env.origins.need(n.origin);
            // Where the hook's result is an int, nothing reads the upper half.
            let (low, high) = match env.typed.as_ref().is_some_and(|t| t.low_half) {
                true => (n.set.s32_min().into(), n.set.s32_max().into()),
                false => (n.set.smin(), n.set.smax()),
            };
            if min <= low && high <= max {
                return Ok(Next::End);
            }
            let known = format!("{reg} is {}", crate::value::Known(&n.set));
            Err(fail(Rule::ReturnValue, &must(), &known).about(reg))
        }
        (Value::Number(_), None) => Ok(Next::End),
        (Value::Pointer(p), range) => {
            if env.leaks_ok() && range.is_none() {
                return Ok(Next::End);
            }
            let known = format!("{reg} is {}", describe(env, p));
            let rule = if range.is_some() {
                Rule::ReturnValue
            } else {
                Rule::PointerLeak
            };
            Err(fail(rule, &must(), &known).about(reg))
        }
    }
}

/// The end of a walk that did not start at the program's entry: a number comes back.
fn returned(env: &mut Env<'_>, state: &State, range: Option<(i64, i64)>) -> Outcome<Next> {
    let must = match range {
        Some((min, max)) if min == max => format!("a function called later returns {min}"),
        Some((min, max)) => format!("a function called later returns {min} to {max}"),
        None => "a global function returns a number".to_string(),
    };
    let known = match (state.reg(Reg::R0), range) {
        (Value::Number(n), None) => {
            env.origins.need(n.origin);
            return Ok(Next::End);
        }
        (Value::Number(n), Some((min, max))) => {
            env.origins.need(n.origin);
            if min <= n.set.smin() && n.set.smax() <= max {
                return Ok(Next::End);
            }
            format!("r0 is {}", crate::value::Known(&n.set))
        }
        (Value::Uninit, _) => {
            return Err(fail(Rule::Uninitialised, &must, "r0 was never written").about(Reg::R0));
        }
        (Value::Pointer(p), _) => format!("r0 is {}", describe(env, p)),
    };
    Err(fail(Rule::ReturnValue, &must, &known).about(Reg::R0))
}

/// `ld_abs` and `ld_ind`: like a call with r6 as the context; the program ends when the packet is too short.
pub(crate) fn load_packet(
    env: &mut Env<'_>,
    state: &mut State,
    pc: Pc,
    size: Size,
) -> Outcome<Next> {
    if !env.kind.packet_loads {
        let known = format!("`{}` programs may not", env.kind.name);
        return Err(fail(
            Rule::CallNotAllowed,
            "the program kind may use legacy packet loads",
            &known,
        ));
    }
    match state.reg(Reg::R6) {
        Value::Pointer(p) if p.to == To::Context && p.constant_offset() == Some(0) && !p.null => {}
        v => {
            let known = format!("r6 is {v}");
            return Err(fail(
                Rule::BadArgument,
                "r6 holds the context for a legacy packet load",
                &known,
            )
            .about(Reg::R6));
        }
    }
    nothing_held(state, None, "when the packet is too short")?;
    let _ = size;
    // Where the packet is too short, the function ends here with 0.
    let mut short = state.clone();
    short.set(pc, Reg::R0, Value::constant(0));
    let ended = exit(env, &mut short, pc)?;
    finish(state, pc, Value::unknown());
    match ended {
        Next::At(later) => Ok(Next::Fork {
            now: pc + 1,
            later,
            state: Box::new(short),
        }),
        Next::End => Ok(Next::At(pc + 1)),
        Next::Fork { .. } => Err(unsupported("legacy packet loads in callbacks")),
    }
}

/// Whether an argument is given as NULL where that is fine.
pub(crate) fn is_null(arg: &Arg, value: &Value) -> bool {
    arg.nullable && value.is_zero()
}
