//! Conditional jumps: which ways can be taken, and what each says of the values compared.
//!
//! - Numbers: the domain decides or narrows both operands; numbers linked to them narrow too.
//! - A pointer that may be NULL against 0: all copies become NULL or not.
//! - A packet pointer against the packet's end: all pointers with its base learn how many bytes are there.
//!
//! **Invariant:** no machine state that takes a way is lost from the state of that way.
//!
//! **Invariant:** a branch decided by what is known of numbers marks these numbers as needed.

use probity_domains::{Comparison, Scalar};
use probity_isa::{JmpOp, Pc, Reg, Src, Width};

use crate::alu::operand_in;
use crate::callback::Callback;
use crate::env::Env;
use crate::memory::describe;
use crate::origin::Origin;
use crate::reject::{Explain, Outcome, fail};
use crate::report::Rule;
use crate::state::State;
use crate::value::{HEAD, Hold, Id, Number, Pointer, To, Trust, Value};

/// Where execution goes. The state given becomes the one of the way that falls through, or of the only one.
pub(crate) enum Ways {
    Taken,
    Falls,
    Both(Box<State>),
}

/// Farthest offset into a packet that comparisons prove.
const MAX_PACKET_OFFSET: u64 = 0xffff;

pub(crate) fn branch(
    env: &mut Env<'_>,
    state: &mut State,
    pc: Pc,
    op: JmpOp,
    width: Width,
    dst: Reg,
    src: Src,
) -> Outcome<Ways> {
    let mut imm = Value::Uninit;
    let (a, b) = (state.reg(dst), operand_in(state, src, &mut imm));
    if let (Value::Number(x), Value::Number(y)) = (a, b) {
        let same = src == Src::Reg(dst);
        let (yes, no) = match compared(env, pc, op, width, same, &x.set, &y.set) {
            Compared::Open { yes, no } => (yes, no),
            Compared::Decided(taken) => {
                env.origins.need(x.origin);
                env.origins.need(y.origin);
                return Ok(if taken { Ways::Taken } else { Ways::Falls });
            }
        };
        let (x, y) = (*x, *y);
        let free = free(
            env,
            state,
            pc,
            (op, width),
            (dst, src),
            (&x, &y),
            [&yes, &no],
        );
        return Ok(open(env, state, dst, src, x, y, yes, no, free));
    }
    match (*a, *b) {
        (Value::Pointer(p), Value::Pointer(q)) if width == Width::W64 => {
            if src == Src::Reg(dst) {
                return Ok(both(state, |_, _| {}));
            }
            pointers(env, state, op, dst, p, q)
        }
        (Value::Pointer(p), Value::Number(n)) | (Value::Number(n), Value::Pointer(p)) => {
            if width == Width::W64
                && n.set.as_constant() == Some(0)
                && matches!(op, JmpOp::Eq | JmpOp::Ne)
            {
                env.origins.need(n.origin);
                return Ok(null_check(env, state, op == JmpOp::Eq, p));
            }
            if env.leaks_ok() {
                return Ok(both(state, |_, _| {}));
            }
            let known = format!(
                "{dst} {} another number is compared with {}",
                symbol(op),
                describe(env, &p)
            );
            let must = "pointers are compared with NULL and with each other only";
            Err(fail(Rule::PointerLeak, must, &known).about(dst))
        }
        _ if env.leaks_ok() => Ok(both(state, |_, _| {})),
        _ => {
            let must = "pointers are compared in 64 bits";
            Err(fail(
                Rule::PointerLeak,
                must,
                "this comparison is of their low halves",
            )
            .about(dst))
        }
    }
}

/// Both ways; `change` is told which one a state is of.
fn both(state: &mut State, change: impl Fn(&mut State, bool)) -> Ways {
    let mut taken = state.clone();
    change(&mut taken, true);
    change(state, false);
    Ways::Both(Box::new(taken))
}

/// What a comparison of two numbers says.
#[derive(Clone, Copy)]
#[expect(clippy::large_enum_variant, reason = "kept in place, copied seldom")]
pub(crate) enum Compared {
    Decided(bool),
    /// Of both operands, where it holds and where it does not.
    Open {
        yes: (Scalar, Scalar),
        no: (Scalar, Scalar),
    },
}

fn compare(op: JmpOp, width: Width, same: bool, x: &Scalar, y: &Scalar) -> Compared {
    let c = comparison(op);
    let decided = match op {
        JmpOp::Eq | JmpOp::Ge | JmpOp::Le | JmpOp::SGe | JmpOp::SLe if same => Some(true),
        JmpOp::Ne | JmpOp::Gt | JmpOp::Lt | JmpOp::SGt | JmpOp::SLt if same => Some(false),
        _ => match width {
            Width::W64 => c.decide64(x, y),
            Width::W32 => c.decide32(x, y),
        },
    };
    if let Some(taken) = decided {
        return Compared::Decided(taken);
    }
    let refine = |taken: bool| match width {
        Width::W64 => c.refine64(taken, x, y),
        Width::W32 => c.refine32(taken, x, y),
    };
    match (refine(true), refine(false)) {
        (Some(yes), Some(no)) => Compared::Open { yes, no },
        (yes, None) if yes.is_some() => Compared::Decided(true),
        (None, no) if no.is_some() => Compared::Decided(false),
        // No machine state comes here: any answer is right.
        _ => Compared::Open {
            yes: (*x, *y),
            no: (*x, *y),
        },
    }
}

fn compared(
    env: &mut Env<'_>,
    pc: Pc,
    op: JmpOp,
    width: Width,
    same: bool,
    x: &Scalar,
    y: &Scalar,
) -> Compared {
    match (x.as_constant(), y.as_constant()) {
        (Some(a), Some(b)) => Compared::Decided(match width {
            Width::W64 => comparison(op).holds64(a, b),
            Width::W32 => comparison(op).holds32(a, b),
        }),
        _ => *env
            .compared
            .get(pc, x, y, || compare(op, width, same, x, y)),
    }
}

/// On which ways a register compared with a constant holds what any number would hold there: what it was does not
/// matter then, if nothing else is known by being related to it.
fn free(
    env: &mut Env<'_>,
    state: &State,
    pc: Pc,
    (op, width): (JmpOp, Width),
    (dst, src): (Reg, Src),
    (x, y): (&Number, &Number),
    sets: [&(Scalar, Scalar); 2],
) -> [bool; 2] {
    let narrowed = sets.map(|s| s.0 != x.set);
    if !env.thorough()
        || x.origin == Origin::NONE
        || y.set.as_constant().is_none()
        || src == Src::Reg(dst)
        || narrowed == [false; 2]
        || x.link != 0 && related(env, state, pc, dst, x.link)
    {
        return [false; 2];
    }
    let any = env.any(pc, dst);
    let found = env
        .compared_with_any
        .get(pc, &any, &y.set, || compare(op, width, false, &any, &y.set));
    match found {
        Compared::Open { yes, no } => [
            narrowed[0] && yes.0 == sets[0].0,
            narrowed[1] && no.0 == sets[1].0,
        ],
        Compared::Decided(_) => [false; 2],
    }
}

/// Whether the link of a register relates it to anything else that may be read.
fn related(env: &Env<'_>, state: &State, pc: Pc, reg: Reg, link: Id) -> bool {
    if link & HEAD != 0 {
        return true;
    }
    let is = |v: &Value| match v {
        Value::Number(n) => n.link == link,
        Value::Pointer(p) => p.base == link,
        Value::Uninit => false,
    };
    let last = state.depth();
    state.frames.iter().enumerate().any(|(i, frame)| {
        let live = match state.frames.get(i + 1) {
            Some(callee) => env.live.across_call(callee.return_pc),
            None => env.live.at(pc),
        };
        let mut regs = live.iter().filter(|r| i != last || *r != reg);
        let kept = |c: &Callback| c.args.iter().any(is) || is(&c.result);
        regs.any(|r| is(&frame.regs.get(r.index())))
            || frame.stack.spills().any(|(_, v)| is(v))
            || frame.callback.as_deref().is_some_and(kept)
    })
}

/// Both ways may be taken, with these operands.
fn open(
    env: &mut Env<'_>,
    state: &mut State,
    dst: Reg,
    src: Src,
    x: Number,
    y: Number,
    yes: (Scalar, Scalar),
    no: (Scalar, Scalar),
    free: [bool; 2],
) -> Ways {
    let same = src == Src::Reg(dst);
    if same {
        return both(state, |_, _| {});
    }
    let origin = env.origins.both(x.origin, y.origin);
    let mut taken = state.clone();
    for (state, (a, b), free) in [(&mut taken, yes, free[0]), (state, no, free[1])] {
        if free {
            state.frame_mut().regs[dst.index()] = Value::Number(Number {
                set: a,
                origin: y.origin,
                ..x
            });
            continue;
        }
        narrow(
            env,
            state,
            dst,
            x,
            Number {
                set: a,
                origin,
                ..x
            },
        );
        if let Src::Reg(r) = src {
            narrow(
                env,
                state,
                r,
                y,
                Number {
                    set: b,
                    origin,
                    ..y
                },
            );
        }
    }
    Ways::Both(Box::new(taken))
}

/// A register turned out to be `new`, and so everything linked to it.
fn narrow(env: &mut Env<'_>, state: &mut State, reg: Reg, old: Number, new: Number) {
    if new.set == old.set {
        return;
    }
    // The other operand's narrowing may have reached this register through a link already.
    let here = match state.reg(reg) {
        Value::Number(n) => *n,
        _ => old,
    };
    let set = match here.set == old.set {
        // It is what was compared, and what it was narrowed to is a part of that.
        true => new.set,
        false => here.set.meet(&new.set).unwrap_or(new.set),
    };
    let origin = env.origins.both(here.origin, new.origin);
    state.frame_mut().regs[reg.index()] = Value::Number(Number {
        set,
        origin,
        ..here
    });
    if old.link != 0 {
        sync(
            env,
            state,
            old.link,
            old.add,
            Number {
                set,
                origin,
                ..here
            },
        );
    }
}

/// Numbers linked to one that was narrowed narrow with it.
pub(crate) fn sync(env: &mut Env<'_>, state: &mut State, link: Id, add: i64, to: Number) {
    state.for_each(
        |v| match v {
            Value::Number(n) => n.link == link,
            Value::Pointer(p) => p.base == link,
            Value::Uninit => false,
        },
        |v| {
            let n = match v {
                Value::Number(n) => n,
                // What varies of it is the number that the link stands for.
                Value::Pointer(p) => {
                    let by = Scalar::constant(add.wrapping_neg() as u64);
                    if let Some(var) = p.var.meet(&to.set.add64(&by))
                        && var != p.var
                    {
                        env.origins.need(to.origin);
                        p.var = var;
                    }
                    return;
                }
                Value::Uninit => return,
            };
            let other = match n.add.wrapping_sub(add) {
                0 => to.set,
                by => to.set.add64(&Scalar::constant(by as u64)),
            };
            if let Some(set) = n.set.meet(&other)
                && set != n.set
            {
                n.set = set;
                n.origin = env.origins.both(n.origin, to.origin);
            }
        },
    );
}

/// `p == NULL` when `equal`, else `p != NULL`.
fn null_check(env: &Env<'_>, state: &mut State, equal: bool, p: Pointer) -> Ways {
    if !p.null {
        let sure = never_null(&p);
        return match (sure, equal) {
            (true, true) => Ways::Falls,
            (true, false) => Ways::Taken,
            (false, _) => both(state, |_, _| {}),
        };
    }
    both(state, |state, taken| {
        set_null(env, state, p.id, p.reference, taken == equal)
    })
}

/// Comparing such a pointer with NULL is decided. The others are no NULL either, but hosts need not promise it.
fn never_null(p: &Pointer) -> bool {
    match p.to {
        To::Stack { .. } | To::Map(_) | To::MapKey(_) | To::MapValue(_) => true,
        To::Memory { .. } | To::Slice { .. } | To::Record { .. } | To::Socket(_) => true,
        To::Kernel { trust, .. } => trust == Trust::Trusted,
        To::Allocated { hold, .. } => matches!(hold, Hold::Owning | Hold::Borrowed { .. }),
        _ => false,
    }
}

/// All copies of a pointer turned out to be NULL, or not.
pub(crate) fn set_null(env: &Env<'_>, state: &mut State, id: Id, reference: Id, null: bool) {
    // A pointer derived from a referenced one shares its reference, but not its being NULL.
    if null && reference != 0 && reference == id {
        state.references.retain(|r| r.id != reference);
    }
    state.for_each_pointer(
        |p| p.null && p.id == id,
        |v| {
            if null {
                *v = Value::constant(0);
            } else if let Value::Pointer(p) = v {
                p.null = false;
                if !env.keeps_id(&p.to) && !matches!(p.to, To::Slice { .. }) {
                    p.id = 0;
                }
            }
        },
    );
}

fn pointers(
    env: &mut Env<'_>,
    state: &mut State,
    op: JmpOp,
    dst: Reg,
    p: Pointer,
    q: Pointer,
) -> Outcome<Ways> {
    let ends = |q: &Pointer, p: &Pointer| match (p.to, q.to) {
        (To::Packet, To::PacketEnd) => true,
        (To::PacketMeta, To::Packet) => q.off == 0 && q.id == 0 && q.var.as_constant() == Some(0),
        _ => false,
    };
    if ends(&q, &p) {
        return Ok(packet(env, state, op, &p));
    }
    if ends(&p, &q) {
        let exchanged = match op {
            JmpOp::Gt => JmpOp::Lt,
            JmpOp::Ge => JmpOp::Le,
            JmpOp::Lt => JmpOp::Gt,
            JmpOp::Le => JmpOp::Ge,
            op => op,
        };
        return Ok(packet(env, state, exchanged, &q));
    }
    // Equal to something that is not NULL: not NULL.
    if matches!(op, JmpOp::Eq | JmpOp::Ne) && p.null != q.null {
        let maybe = if p.null { p } else { q };
        let equal = op == JmpOp::Eq;
        let sure = if p.null { q } else { p };
        if never_null(&sure) {
            return Ok(both(state, |state, taken| {
                if taken == equal {
                    set_null(env, state, maybe.id, maybe.reference, false);
                }
            }));
        }
    }
    if env.leaks_ok() {
        return Ok(both(state, |_, _| {}));
    }
    let known = format!(
        "{} is compared with {}",
        describe(env, &p),
        describe(env, &q)
    );
    let must = "only pointers into the packet are compared with each other";
    Err(fail(Rule::PointerLeak, must, &known).about(dst))
}

/// `p op end`.
///
/// Where `p` lies before the end, so does its base with the variable part: a place in the packet, which is as good a base
/// as the packet's start. The variable part says no more than that nothing led around to get there, so it is
/// forgotten, and states that differ in it alone are one from there on. Where it says how the pointer is aligned, or how
/// far a loop has moved it, it stays.
fn packet(env: &Env<'_>, state: &mut State, op: JmpOp, p: &Pointer) -> Ways {
    // On which way `p` lies before the end, and whether it may be the end itself.
    let (way, open) = match op {
        JmpOp::Gt => (false, false),
        JmpOp::Ge => (false, true),
        JmpOp::Lt => (true, true),
        JmpOp::Le => (true, false),
        _ => return both(state, |_, _| {}),
    };
    let far = p.var.umax() > MAX_PACKET_OFFSET
        || p.var.umax().saturating_add(p.off.max(0) as u64) > MAX_PACKET_OFFSET;
    if p.off < 0 || p.off == 0 && open || far {
        return both(state, |_, _| {});
    }
    let range = p.off as u32 + u32::from(open);
    let rebased = p.id != 0 && !env.options.strict_alignment;
    both(state, |state, taken| {
        if taken == way {
            state.for_each_pointer(
                |q| q.to == p.to && q.id == p.id,
                |v| {
                    if let Value::Pointer(q) = v {
                        q.range = q.range.max(range);
                        if rebased && q.base & HEAD == 0 {
                            (q.var, q.base) = (Scalar::constant(0), 0);
                        }
                    }
                },
            );
        }
    })
}

fn comparison(op: JmpOp) -> Comparison {
    match op {
        JmpOp::Eq => Comparison::Eq,
        JmpOp::Ne => Comparison::Ne,
        JmpOp::Gt => Comparison::Gt,
        JmpOp::Ge => Comparison::Ge,
        JmpOp::Lt => Comparison::Lt,
        JmpOp::Le => Comparison::Le,
        JmpOp::SGt => Comparison::Sgt,
        JmpOp::SGe => Comparison::Sge,
        JmpOp::SLt => Comparison::Slt,
        JmpOp::SLe => Comparison::Sle,
        JmpOp::Set => Comparison::Set,
    }
}

fn symbol(op: JmpOp) -> &'static str {
    match op {
        JmpOp::Eq => "==",
        JmpOp::Ne => "!=",
        JmpOp::Gt => ">",
        JmpOp::Ge => ">=",
        JmpOp::Lt => "<",
        JmpOp::Le => "<=",
        JmpOp::SGt => "s>",
        JmpOp::SGe => "s>=",
        JmpOp::SLt => "s<",
        JmpOp::SLe => "s<=",
        JmpOp::Set => "&",
    }
}
