//! States that come to one merge point → one state for them all.
//!
//! Where states come that no stored one covers, over and over, the current one is joined with the stored one that it
//! differs least from, and with those that differ in the same places. The path goes on from the join; when that fails
//! it is walked as it was ([`super::attempt`]).
//!
//! - Only what the stored state needed is joined. Whatever else differs does not keep it from covering others.
//! - Numbers become what both can be, and, from the second join on, what bounds that some comparison or word size
//!   suggests allow, so that a place settles after few joins.
//! - Pointers to the same are joined where the variable part alone differs. States in which other things differ are not joined.
//!
//! **Invariant:** a join includes the state that it is used for, by [`crate::cover`]'s judgement.
//! That is all that soundness needs; how well it fits the stored states is a matter of speed.
//!
//! **Invariant:** how far a value is from the one at an open loop's head is kept, or there is no join.

use std::cell::Cell;

use probity_domains::Scalar;
use probity_isa::{Insn, Pc, Reg, Src};

use crate::cover::{Failed, Mode, covers, within_packet};
use crate::env::{Env, Slots};
use crate::guess::{Place, join_slot, same_callback};
use crate::numbered::Numbered;
use crate::stack::{Byte, SLOTS};
use crate::state::{Frame, State};
use crate::value::{HEAD, Id, Number, Pointer, To, Value};

use super::attempt::Kind;
use super::{Explorer, Waiting};

/// Fewer stored states that do not cover the current one are no reason for a join.
pub(super) const FEWEST: usize = 1;
/// So many are, where there was a join before, and where there was none.
const SOME: usize = 2;
const MANY: usize = 6;
/// States looked at, the latest.
const LOOKED_AT: usize = 12;
/// Most places in which states that are joined differ.
const MOST_PLACES: usize = 6;
/// Where so many failed, or found nothing to join, none are tried any more.
const MOST_FAILED: u32 = 2;
const MOST_CARE: u32 = 2;
const MOST_DULL: u32 = 16;
/// Instructions that failed joins may always take.
const WASTE: usize = 10_000;

/// Where states still come, numbers go straight to the next of these.
const WORDS: [u64; 5] = [0, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff];

/// What joins at a merge point came to.
#[derive(Clone, Copy, Debug, Default)]
struct Point {
    made: u32,
    failed: u32,
    dull: u32,
    /// How much of the widening was given up, since it failed: first what goes beyond any bound, then all.
    care: u32,
}

#[derive(Debug, Default)]
pub(super) struct Joins {
    points: Numbered<Pc, Point>,
    given_up: bool,
    /// Everywhere.
    made: usize,
    failed: usize,
    /// The most instructions that were processed below a state stored at each instruction.
    costs: Vec<u32>,
    /// Bounds that sets are widened to.
    thresholds: Option<Vec<u64>>,
}

impl Joins {
    /// None are made any more.
    pub(super) fn give_up(&mut self) {
        self.given_up = true;
    }

    /// A join failed; `wrong`: it was too large for something that follows, not only too much work.
    pub(super) fn failed(&mut self, pc: Pc, wrong: bool) {
        self.failed += usize::from(wrong);
        let point = self.points.entry(pc).or_default();
        match point.care < MOST_CARE && wrong {
            true => point.care += 1,
            false => point.failed += 1,
        }
    }

    /// All that follows a state at `pc` took so many instructions.
    pub(super) fn took(&mut self, pc: Pc, cost: usize) {
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        match self.costs.get_mut(pc) {
            Some(most) => *most = cost.max(*most),
            None => {
                self.costs.resize(pc + 1, 0);
                self.costs[pc] = cost;
            }
        }
    }
}

impl Explorer<'_> {
    /// The path, whose state was just stored, goes on from a join with stored states, where one seems worth it.
    /// `closed` of them are explored and did not cover it.
    pub(super) fn join(&mut self, env: &mut Env<'_>, path: &mut Waiting, closed: usize) {
        let pc = path.pc;
        let point = self.joins.points.get(&pc).copied().unwrap_or_default();
        let many = match point.made {
            _ if env.options.store_often => FEWEST,
            0 => MANY,
            _ => SOME,
        };
        let few = closed < many;
        let hopeless = point.failed >= MOST_FAILED || point.dull >= MOST_DULL;
        let useful = self.stats.processed - self.wasted;
        let wasteful =
            self.wasted > useful / 8 + WASTE || self.joins.failed > 16 + self.joins.made / 4;
        if few || hopeless || self.joins.given_up || !env.options.joins || wasteful {
            return;
        }
        let list = self.at[pc].iter().rev().map(|e| e.node);
        let candidates: Vec<usize> = list
            .filter(|n| {
                let node = &self.nodes[*n];
                node.open == 0 && node.tied.is_empty() && node.head.is_none()
            })
            .take(LOOKED_AT)
            .collect();
        let mut differing: Vec<(Vec<Place>, usize)> = candidates
            .iter()
            .filter_map(|&n| {
                let node = &self.nodes[n];
                Some((
                    differences(env, pc, &node.state, &path.state, &node.reads)?,
                    n,
                ))
            })
            .collect();
        differing.sort_by_key(|(places, _)| places.len());
        let Some((places, first)) = differing.first().cloned() else {
            self.joins.points.entry(pc).or_default().dull += 1;
            return;
        };
        let thresholds = self.joins.thresholds.get_or_insert_with(|| thresholds(env));
        // Where much failed elsewhere, little is tried.
        let care = point.care.max((self.joins.failed / 16) as u32);
        let widening = match (self.nodes[first].joined, care) {
            (0, _) | (_, MOST_CARE..) => Widening::None,
            (1, _) | (_, 1..) => Widening::Bounds(thresholds),
            _ => Widening::Bounds(&WORDS),
        };
        let lap = self.nodes[path.parent].lap;
        let mut generations = 0;
        let mut state = path.state.clone();
        for (at, n) in &differing {
            if !at.iter().all(|p| places.contains(p)) {
                continue;
            }
            let node = &self.nodes[*n];
            if let Some(joined) = join(env, pc, &node.state, &state, &node.reads, widening) {
                state = joined;
                generations = generations.max(node.joined);
            } else if *n == first {
                self.joins.points.entry(pc).or_default().dull += 1;
                return;
            }
        }
        let includes = covers(
            &state,
            &path.state,
            env.live,
            pc,
            &Slots::default(),
            Mode::Within,
            &env.origins,
            env.uninit_ok(),
            &Cell::<Failed>::default(),
            None,
        );
        if !includes {
            self.joins.points.entry(pc).or_default().dull += 1;
            return;
        }
        self.joins.points.entry(pc).or_default().made += 1;
        self.joins.made += 1;
        let cost = self.joins.costs.get(pc).copied().unwrap_or_default();
        let most = (4 * cost as usize + 2_000).min(useful / 2 + WASTE);
        let n = self.attempt(env, path, Kind::Join, state, 1, most);
        self.nodes[n].joined = generations + 1;
        self.nodes[n].lap = lap;
    }
}

/// How far beyond what both can be a join goes.
#[derive(Clone, Copy, Debug)]
enum Widening<'t> {
    None,
    /// To the next of these.
    Bounds(&'t [u64]),
}

/// Constants that the program compares with, and their neighbours; offsets of the last bytes of map values; word sizes.
fn thresholds(env: &Env<'_>) -> Vec<u64> {
    let compared = env.cfg.insns.iter().filter_map(|insn| match insn {
        Insn::JumpIf {
            src: Src::Imm(imm), ..
        } => Some(i64::from(*imm) as u64),
        _ => None,
    });
    let sizes = env.object.maps.iter().map(|m| u64::from(m.value_size));
    let last = sizes.flat_map(|s| [1, 2, 4, 8].map(|n| s.saturating_sub(n)));
    let mut all: Vec<u64> = compared
        .flat_map(|c| [c.wrapping_sub(1), c, c.wrapping_add(1)])
        .chain(last)
        .chain((1..64).map(|bits| (1u64 << bits) - 1))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// What keeps `old` from covering `new`; `None` where that is too much, or cannot be joined.
fn differences(
    env: &Env<'_>,
    pc: Pc,
    old: &State,
    new: &State,
    reads: &Slots,
) -> Option<Vec<Place>> {
    if !old.alike(new) {
        return None;
    }
    let mut places = Vec::new();
    for (f, (a, b)) in old.frames.iter().zip(&new.frames).enumerate() {
        for r in live_in(env, pc, new, f) {
            if !covered(env, &a.regs[r], &b.regs[r])? {
                places.push(Place::Reg(f, r));
            }
        }
        for s in slots(a, b, reads, f) {
            let (x, y) = (a.stack.slot(s), b.stack.slot(s));
            let spilled = x.spilled();
            let same = match spilled > 0 && spilled == y.spilled() {
                true => covered(env, x.value, y.value)?,
                false => x.bytes == y.bytes,
            };
            if !same {
                places.push(Place::Slot(f, s));
            }
        }
        if places.len() > MOST_PLACES {
            return None;
        }
    }
    (!places.is_empty()).then_some(places)
}

fn live_in(env: &Env<'_>, pc: Pc, state: &State, f: usize) -> impl Iterator<Item = usize> + use<> {
    let live = match state.frames.get(f + 1) {
        Some(callee) => env.live.across_call(callee.return_pc),
        None => env.live.at(pc),
    };
    let mut regs = live.iter();
    std::iter::from_fn(move || regs.by_ref().find(|r| *r != Reg::R10).map(Reg::index))
}

fn slots(a: &Frame, b: &Frame, reads: &Slots, f: usize) -> Vec<usize> {
    let len = a.stack.len().max(b.stack.len()).min(SLOTS);
    match reads.get(f) {
        Some(slots) => slots.below(len).iter().collect(),
        None => Vec::new(),
    }
}

/// Whether the needed value `a` covers `b`; `None` where they cannot be joined.
fn covered(env: &Env<'_>, a: &Value, b: &Value) -> Option<bool> {
    match (a, b) {
        (Value::Uninit, _) => Some(true),
        (Value::Number(a), Value::Number(b)) => {
            Some(!env.origins.is_needed(a.origin) || a.set.includes(&b.set))
        }
        (Value::Pointer(a), Value::Pointer(b)) => {
            let same = a.to == b.to && a.null == b.null;
            if same && a.is_packet() {
                return Some(within_packet(a, b));
            }
            let same = same && a.off == b.off;
            let fixed = matches!(a.to, To::Stack { .. } | To::Context);
            let within = a.var.includes(&b.var) && a.range <= b.range;
            (same && (within || !fixed)).then_some(within)
        }
        (_, Value::Uninit) => Some(false),
        _ => None,
    }
}

/// A join under way.
struct Join<'t> {
    /// Ids of the stored state, and of the current one.
    ids: Vec<(Id, Id)>,
    /// Packet bases of the stored state and the current one, how much further the current offsets are; and the join's.
    fresh: Vec<(Id, Id, i64, Id)>,
    /// Links of the current state, those of the stored one, and how much further the `add`s are.
    links: Vec<(Id, Id, i64)>,
    widening: Widening<'t>,
}

/// A state that includes `new`, and covers what differs from it only as `old` does; `None` when they cannot be joined.
fn join(
    env: &mut Env<'_>,
    pc: Pc,
    old: &State,
    new: &State,
    reads: &Slots,
    widening: Widening<'_>,
) -> Option<State> {
    if !old.alike(new) || old.references.len() != new.references.len() {
        return None;
    }
    let mut j = Join {
        ids: Vec::new(),
        fresh: Vec::new(),
        links: Vec::new(),
        widening,
    };
    let regions = old.regions.covers(&new.regions, &mut |a, b| j.same(a, b));
    let mut references = old.references.iter().zip(&new.references);
    if !regions || !references.all(|(a, b)| j.same(a.id, b.id)) {
        return None;
    }
    let mut state = new.clone();
    for f in 0..new.frames.len() {
        let (a, b) = (&old.frames[f], &new.frames[f]);
        if !same_callback(a, b) || !j.objects(a, b) {
            return None;
        }
        for r in live_in(env, pc, new, f) {
            let value = j.value(env, &a.regs[r], &b.regs[r])?;
            if value != b.regs[r] {
                state.frame_at(f)?.regs[r] = value;
            }
        }
        for s in slots(a, b, reads, f) {
            let (x, y) = (a.stack.slot(s), b.stack.slot(s));
            if x.bytes.has(Byte::Object) || y.bytes.has(Byte::Object) {
                if x.bytes != y.bytes {
                    return None;
                }
                continue;
            }
            let spilled = x.spilled() > 0 && x.spilled() == y.spilled();
            if x.bytes == y.bytes && !spilled {
                continue;
            }
            let value = match spilled {
                true => j.value(env, x.value, y.value)?,
                false if y.spilled() > 0 && headed(y.value) => return None,
                false => Value::Uninit,
            };
            if x.bytes == y.bytes && value == *y.value {
                continue;
            }
            let stack = &mut state.frame_at(f)?.stack;
            join_slot(stack, s, x, y, |_, _| value)?;
        }
    }
    Some(state)
}

/// It says how far it is from the value at a loop's head.
fn headed(v: &Value) -> bool {
    match v {
        Value::Number(n) => n.link & HEAD != 0,
        Value::Pointer(p) => p.base & HEAD != 0,
        Value::Uninit => false,
    }
}

impl Join<'_> {
    fn same(&mut self, a: Id, b: Id) -> bool {
        if a == 0 || b == 0 {
            return a == b;
        }
        match self.ids.iter().find(|(x, y)| *x == a || *y == b) {
            Some(pair) => *pair == (a, b),
            None => {
                self.ids.push((a, b));
                true
            }
        }
    }

    fn objects(&mut self, a: &Frame, b: &Frame) -> bool {
        let lent = a.lent.len() == b.lent.len()
            && a.lent
                .iter()
                .zip(&b.lent)
                .all(|(x, y)| x.low == y.low && x.end == y.end && self.same(x.slice, y.slice));
        let (x, y) = (a.stack.objects(), b.stack.objects());
        lent && x.len() == y.len()
            && x.iter().zip(y).all(|((i, x), (j, y))| {
                i == j
                    && x.kind == y.kind
                    && x.part == y.part
                    && x.parts == y.parts
                    && self.same(x.id, y.id)
                    && self.same(x.reference, y.reference)
            })
    }

    /// What stands for both, where `a` is the stored state's.
    fn value(&mut self, env: &mut Env<'_>, a: &Value, b: &Value) -> Option<Value> {
        if headed(a) || headed(b) {
            return (a == b || same_number(a, b)).then_some(*b);
        }
        match (a, b) {
            (Value::Uninit, _) => Some(*b),
            (_, Value::Uninit) => Some(Value::Uninit),
            (Value::Number(x), Value::Number(y)) => {
                let kept = Number {
                    link: self.link(x, y),
                    ..*y
                };
                if !env.origins.is_needed(x.origin) {
                    return Some(*b);
                }
                let set = self.set(&x.set, &y.set);
                Some(Value::Number(Number { set, ..kept }))
            }
            (Value::Pointer(x), Value::Pointer(y)) => self.pointer(env, x, y).map(Value::Pointer),
            _ => None,
        }
    }

    fn set(&self, a: &Scalar, b: &Scalar) -> Scalar {
        if a.includes(b) {
            return *a;
        }
        let both = a.join(b);
        match self.widening {
            Widening::Bounds(t) => a.widen(&both, t),
            Widening::None => both,
        }
    }

    /// The link, where the numbers are related to the same others in both states.
    fn link(&mut self, a: &Number, b: &Number) -> Id {
        if a.link == 0 || b.link == 0 {
            return 0;
        }
        let further = b.add.wrapping_sub(a.add);
        match self.links.iter().find(|(new, _, _)| *new == b.link) {
            Some((_, old, delta)) if *old == a.link && *delta == further => b.link,
            Some(_) => 0,
            None => {
                self.links.push((b.link, a.link, further));
                b.link
            }
        }
    }

    fn pointer(&mut self, env: &mut Env<'_>, a: &Pointer, b: &Pointer) -> Option<Pointer> {
        let same = a.to == b.to && a.null == b.null;
        if !same || !self.same(a.reference, b.reference) || !self.same(a.parent, b.parent) {
            return None;
        }
        if a.is_packet() {
            return Some(self.packet(env, a, b));
        }
        if a.off != b.off || !self.same(a.id, b.id) {
            return None;
        }
        let base = if a.base == b.base { b.base } else { 0 };
        let range = a.range.min(b.range);
        if a.var == b.var {
            return Some(Pointer { base, range, ..*b });
        }
        if a.null || matches!(a.to, To::Stack { .. } | To::Context) {
            return None;
        }
        Some(Pointer {
            var: self.set(&a.var, &b.var),
            base: 0,
            range,
            ..*b
        })
    }

    /// Both are seen from the one that has less of a constant offset.
    fn packet(&mut self, env: &mut Env<'_>, a: &Pointer, b: &Pointer) -> Pointer {
        let off = a.off.min(b.off);
        let from = |p: &Pointer| {
            let further = p.off.wrapping_sub(off);
            let there = i64::from(p.range).saturating_sub(further).max(0);
            (p.var.add64(&Scalar::constant(further as u64)), there as u32)
        };
        let ((x, there), (y, here)) = (from(a), from(b));
        // Most of what is known to be there is never used, or checked again.
        let range = match self.widening {
            Widening::None => there.min(here),
            _ if there == here => here,
            _ => 0,
        };
        let further = b.off.wrapping_sub(a.off);
        if further == 0 && x == y {
            let base = if a.base == b.base { b.base } else { 0 };
            return Pointer { base, range, ..*b };
        }
        Pointer {
            off,
            var: self.set(&x, &y),
            base: 0,
            range,
            id: self.fresh(env, a.id, b.id, further),
            ..*b
        }
    }

    /// The name in the join of what the two name in the stored and the current state.
    fn fresh(&mut self, env: &mut Env<'_>, a: Id, b: Id, further: i64) -> Id {
        let same = |(x, y, f, _): &&(Id, Id, i64, Id)| (*x, *y, *f) == (a, b, further);
        if let Some((_, _, _, known)) = self.fresh.iter().find(same) {
            return *known;
        }
        let new = env.fresh_id();
        self.fresh.push((a, b, further, new));
        new
    }
}

/// The same number, but for where it came from.
fn same_number(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a.set == b.set && a.link == b.link && a.add == b.add
        }
        _ => false,
    }
}
