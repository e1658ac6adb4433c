//! Dynptrs on the stack: made, handed to calls, sliced and ended.
//!
//! A dynptr knows its memory's size and place only when the program runs; calls check every access against it.
//! Slices are memory of a dynptr with a size known here: they end with the dynptr, and those of a packet when the
//! packet changes.
//!
//! **Invariant:** a slice's `parent` is the id of its dynptr, its own `id` stays with it, also after a NULL check.
//!
//! **Invariant:** dynptrs of one reference end together.

use probity_btf::{Type, TypeId};
use probity_isa::{CallTarget, Insn, Pc, Reg};
use probity_platform::{ArgKind, DynptrArg, KfuncSpecial as Special, Platform};

use crate::call::ARGS;
use crate::env::Env;
use crate::kfunc::{Call, Found as Kfunc, Param, ParamKind, Rows};
use crate::memory::describe;
use crate::object::{self, DynptrKind, Lent, Object, ObjectKind, Spot};
use crate::reject::{Explain, Failure, Outcome, fail, unsupported};
use crate::report::Rule;
use crate::state::{Reference, State};
use crate::value::{Id, Pointer, To, Value};

const PARTS: usize = 2;

/// What a call's arguments say of dynptrs.
#[derive(Default)]
pub(crate) struct Found {
    /// The last one given.
    given: Option<Given>,
    /// Where one is made, and of what.
    made: Option<Made>,
    /// It ends, with all that share its reference.
    ends: bool,
    /// A packet is written through one, and may move.
    pub moves: bool,
}

/// A dynptr that is handed to a call.
#[derive(Clone, Copy)]
struct Given {
    kind: DynptrKind,
    id: Id,
    reference: Id,
    /// `None` for a subprogram's argument.
    spot: Option<Spot>,
}

#[derive(Clone, Copy)]
struct Made {
    spot: Spot,
    kind: DynptrKind,
    reference: Shared,
}

/// The reference of a dynptr that is made.
#[derive(Clone, Copy)]
enum Shared {
    No,
    New,
    With(Id),
}

impl Found {
    /// The dynptr given, as the parent of memory in it.
    pub(crate) fn memory(&self, size: u32, writable: bool, id: Id) -> Option<Pointer> {
        let given = self.given?;
        let packet = matches!(given.kind, DynptrKind::Packet { .. } | DynptrKind::Any);
        Some(Pointer {
            parent: given.id,
            reference: given.reference,
            ..Pointer::new(To::Slice {
                size,
                writable,
                packet,
            })
            .or_null(id)
        })
    }
}

/// Whether an instruction makes a dynptr of a packet that writes through it may move.
pub(crate) fn of_packet(insn: &Insn, rows: &Rows<'_>) -> bool {
    let row = rows.called(insn);
    row.is_some_and(|r| r.special == Some(Special::DynptrFromPacket { moves: true }))
}

/// Whether an instruction may write through a dynptr.
pub(crate) fn writes(insn: &Insn, platform: &Platform, prog_kind: u32) -> bool {
    match insn {
        Insn::Call(CallTarget::Helper(id)) => platform.helper(*id).is_some_and(|h| {
            let access = DynptrArg::Write;
            let args = h.prototype(prog_kind).args;
            args.iter().any(|a| a.kind == ArgKind::Dynptr { access })
        }),
        Insn::Call(CallTarget::Kfunc { id, .. }) => {
            let Some(types) = platform.types.as_deref() else {
                return false;
            };
            let proto = types.proto(TypeId(*id)).and_then(|p| types.ty(p));
            let Some(Type::FuncProto { params, .. }) = proto else {
                return false;
            };
            params.iter().any(|p| {
                let to = types.pointee(p.ty);
                let dynptr = to.is_some_and(|to| {
                    types.name(types.resolve(to)) == "bpf_dynptr"
                        && !matches!(types.ty(to), Some(Type::Const(_)))
                });
                dynptr && !p.name.ends_with("__uninit")
            })
        }
        _ => false,
    }
}

/// No argument lies in a packet that the call may move: it would be read where the packet was.
pub(crate) fn apart_from_packet(state: &State, args: &[Reg]) -> Outcome<()> {
    let inside = |r: &&Reg| {
        let p = state.reg(**r).as_pointer();
        p.is_some_and(|p| matches!(p.to, To::Slice { packet: true, .. }))
    };
    match args.iter().find(inside) {
        None => Ok(()),
        Some(reg) => {
            let must = "memory given to a call does not lie in the packet that the call may move";
            let known = format!("{reg} is a slice of it");
            Err(fail(Rule::BadArgument, must, &known)
                .about(*reg)
                .hint("copy it to the stack first"))
        }
    }
}

/// A global function's dynptr argument.
pub(crate) fn lend(env: &Env<'_>, state: &State, name: &str, reg: Reg) -> Outcome<()> {
    given(env, state, name, reg).map(|_| ())
}

/// A helper's dynptr argument.
pub(crate) fn helper_argument(
    env: &mut Env<'_>,
    state: &State,
    helper: &str,
    reg: Reg,
    access: DynptrArg,
    found: &mut Found,
) -> Outcome<()> {
    let name = format!("bpf_{helper}");
    match access {
        DynptrArg::Read => found.given = Some(given(env, state, &name, reg)?),
        DynptrArg::Write => {
            let g = given(env, state, &name, reg)?;
            found.given = Some(g);
            found.moves |= moves(g.kind);
        }
        DynptrArg::InitLocal | DynptrArg::InitRingbuf => {
            let (kind, reference) = match access {
                DynptrArg::InitLocal => (DynptrKind::Local, Shared::No),
                _ => (DynptrKind::Ringbuf, Shared::New),
            };
            let spot = room(env, state, &name, reg)?;
            found.made = Some(Made {
                spot,
                kind,
                reference,
            });
        }
        DynptrArg::ReleaseRingbuf => {
            let g = given(env, state, &name, reg)?;
            if g.kind != DynptrKind::Ringbuf || g.reference == 0 || g.spot.is_none() {
                let must = format!("{name} is given a dynptr reserved in a ring buffer");
                let known = format!("{reg} points to another one");
                return Err(fail(Rule::BadArgument, &must, &known).about(reg));
            }
            found.given = Some(g);
            found.ends = true;
        }
    }
    Ok(())
}

/// A kernel function's argument of type `struct bpf_dynptr *`; `uninit`: the call makes it.
pub(crate) fn argument(
    env: &mut Env<'_>,
    state: &State,
    call: &Call<'_>,
    reg: Reg,
    uninit: bool,
    constant: bool,
    found: &mut Kfunc,
) -> Outcome<()> {
    let name = call.row.name;
    if !uninit {
        let g = given(env, state, name, reg)?;
        found.dynptr.given = Some(g);
        found.dynptr.moves |= !constant && moves(g.kind);
        return Ok(());
    }
    let spot = room(env, state, name, reg)?;
    let (kind, reference) = match (call.row.special, found.dynptr.given) {
        (Some(Special::DynptrFromPacket { moves }), _) => {
            (DynptrKind::Packet { moves }, Shared::No)
        }
        (Some(Special::DynptrClone), Some(of)) => {
            if let Some(from) = of.spot
                && from.frame == spot.frame
                && from.off.abs_diff(spot.off) < 8 * PARTS as u64
            {
                let must = "a dynptr is cloned to another place";
                let known = format!("both are at fp{:+} or overlap it", spot.off);
                return Err(fail(Rule::BadArgument, must, &known).about(reg));
            }
            let reference = match of.reference {
                0 => Shared::No,
                id => Shared::With(id),
            };
            (of.kind, reference)
        }
        _ => return Err(unsupported(&format!("dynptrs made by {name}"))),
    };
    found.dynptr.made = Some(Made {
        spot,
        kind,
        reference,
    });
    Ok(())
}

/// Whether writing through it may move a packet.
fn moves(kind: DynptrKind) -> bool {
    matches!(kind, DynptrKind::Packet { moves: true } | DynptrKind::Any)
}

/// The dynptr that an argument is.
fn given(env: &Env<'_>, state: &State, name: &str, reg: Reg) -> Outcome<Given> {
    let wrong = || {
        let what = "an initialised dynptr";
        not(env, state, name, reg, what)
            .hint("it is lost when its stack bytes are overwritten, or it was released")
    };
    let Value::Pointer(p) = state.reg(reg) else {
        return Err(wrong());
    };
    if let To::Dynptr { kind } = p.to {
        return match p.constant_offset() {
            Some(0) if !p.null => Ok(Given {
                kind,
                id: p.id,
                reference: 0,
                spot: None,
            }),
            _ => Err(wrong()),
        };
    }
    let spot = object::spot(state, p, PARTS).ok_or_else(wrong)?;
    match object::at(state, spot) {
        Some(Object {
            kind: ObjectKind::Dynptr(kind),
            id,
            reference,
            ..
        }) => Ok(Given {
            kind,
            id,
            reference,
            spot: Some(spot),
        }),
        _ => Err(wrong()),
    }
}

/// Where an argument says that a dynptr is made.
fn room(env: &mut Env<'_>, state: &State, name: &str, reg: Reg) -> Outcome<Spot> {
    let spot = match state.reg(reg) {
        Value::Pointer(p) => object::spot(state, p, PARTS),
        _ => None,
    };
    let Some(spot) = spot else {
        let what = "16 aligned bytes of the stack, for a dynptr";
        return Err(not(env, state, name, reg, what));
    };
    object::vacant(state, spot, PARTS).map_err(|e| e.about(reg))?;
    object::deep(env, state, spot);
    Ok(spot)
}

fn not(env: &Env<'_>, state: &State, name: &str, reg: Reg, what: &str) -> Box<Failure> {
    let known = match state.reg(reg) {
        Value::Pointer(p) => format!("{reg} is {}", describe(env, p)),
        v => format!("{reg} is {v}"),
    };
    let must = format!("argument {} of {name} is {what}", reg.index());
    fail(Rule::BadArgument, &must, &known).about(reg)
}

/// What a call gives that is memory of a dynptr.
pub(crate) fn slice(
    env: &mut Env<'_>,
    state: &State,
    call: &Call<'_>,
    found: &Kfunc,
    writable: bool,
) -> Outcome<Value> {
    let name = call.row.name;
    if writable && !env.kind.packet_write {
        let must = format!("{name} is for programs that may write packets");
        let known = format!("`{}` programs may only read them", env.kind.name);
        return Err(fail(Rule::CallNotAllowed, &must, &known));
    }
    let size = found.constant.and_then(|n| u32::try_from(n).ok());
    let id = env.fresh_id();
    let Some(mut p) = size.and_then(|n| found.dynptr.memory(n, writable, id)) else {
        return Err(unsupported(&format!("the result of {name}")));
    };
    let Some(buffer) = buffer(call) else {
        return Err(unsupported(&format!("the buffer of {name}")));
    };
    if let Value::Pointer(b) = state.reg(buffer) {
        match b.to {
            To::Stack { .. } | To::MapValue(_) => {}
            To::Memory { .. } | To::Record { .. } if b.parent == 0 => {
                // It ends with the buffer too.
                if b.reference != 0 && p.reference == 0 {
                    p.reference = b.reference;
                } else if b.reference != 0 {
                    return Err(unsupported("slices between two references").about(buffer));
                }
            }
            _ => return Err(unsupported("slices in such buffers").about(buffer)),
        }
    }
    Ok(Value::Pointer(p))
}

/// The argument before the constant size: where a slice may lie.
fn buffer(call: &Call<'_>) -> Option<Reg> {
    let sized = |p: &Param| p.kind == ParamKind::Size { constant: true };
    let size = call.proto.params.iter().position(sized)?;
    ARGS.get(size.checked_sub(1)?).copied()
}

/// A kernel function makes, changes or ends dynptrs. `value` is what it gives.
pub(crate) fn apply(
    env: &mut Env<'_>,
    state: &mut State,
    call: &Call<'_>,
    found: &Kfunc,
    value: &Value,
) -> Outcome<()> {
    if found.dynptr.moves {
        let count = call.proto.params.len().min(ARGS.len());
        apart_from_packet(state, &ARGS[..count])?;
    }
    effects(env, state, call.pc, &found.dynptr)?;
    if let Value::Pointer(slice) = value
        && let To::Slice { size, .. } = slice.to
        && let Some(Value::Pointer(b)) = buffer(call).map(|r| state.reg(r))
        && let To::Stack { frame } = b.to
    {
        let (low, high) = b.offset_range();
        let lent = Lent {
            slice: slice.id,
            low: i64::try_from(low).unwrap_or(i64::MIN),
            end: i64::try_from(high + i128::from(size)).unwrap_or(i64::MAX),
        };
        object::lend(state, frame, lent)?;
    }
    Ok(())
}

/// A call makes, changes or ends dynptrs.
pub(crate) fn effects(env: &mut Env<'_>, state: &mut State, pc: Pc, found: &Found) -> Outcome<()> {
    if let Some(made) = found.made {
        let reference = match made.reference {
            Shared::No => 0,
            Shared::With(id) => id,
            Shared::New => {
                let id = env.fresh_id();
                state.references.push(Reference { id, pc });
                id
            }
        };
        let object = Object {
            kind: ObjectKind::Dynptr(made.kind),
            id: env.fresh_id(),
            reference,
            part: 0,
            parts: 0,
        };
        object::make(env, state, made.spot, PARTS, object)?;
    }
    if found.moves {
        crate::call::forget_packet(env, state);
    }
    if let (true, Some(given)) = (found.ends, found.given) {
        for (spot, object) in object::all(state) {
            if matches!(object.kind, ObjectKind::Dynptr(_)) && object.reference == given.reference {
                object::end(state, spot)?;
                object::forget_parent(env, state, object.id);
            }
        }
        crate::call::release(env, state, given.reference)?;
    }
    Ok(())
}
