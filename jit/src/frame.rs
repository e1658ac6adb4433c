//! A function's stack frame → which of its bytes become SSA values, and what is left in memory.
//!
//! Forward propagation of "frame pointer plus constant" through registers: bytes that are only
//! ever accessed whole, by one offset and size, and whose address goes nowhere else, need no memory.
//! The address that a helper is handed reaches upwards only; one that goes to a subprogram,
//! to a callback, to memory or into other arithmetic reaches everything.
//!
//! **Invariant:** where two paths bring different things into a register, and one of them is
//! an address of the frame, the whole frame stays in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use probity_isa::{AluOp, CallTarget, Insn, Pc, Reg, RegSet, Size, Src, Width};
use probity_verifier::{Region, VerifiedProgram};

use crate::flow::{reached, successors};
use crate::lowerings::Lowerings;
use crate::pressure;

/// Bytes of a frame.
pub(crate) const FRAME: i32 = 512;

/// What a frame becomes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    /// Slots that are SSA values: offset from the frame pointer → size.
    pub values: BTreeMap<i32, Size>,
    /// Bytes below the frame pointer that stay in memory.
    pub memory: u32,
    /// Bytes may be read that were never written: memory starts as zeros.
    pub clear: bool,
    /// Constant offset from the frame pointer of what a register points to, before an instruction, for bases and arguments.
    pub bases: Bases,
}

/// What the registers hold before each instruction of a function, where it is an address of the frame.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bases {
    start: Pc,
    entry: Vec<Option<Regs>>,
}

impl Bases {
    pub fn get(&self, pc: Pc, r: Reg) -> Option<i32> {
        let regs = self.entry.get(pc.checked_sub(self.start)?)?.as_ref()?;
        regs.get(r)
    }
}

/// How a helper call uses the frame.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Use {
    /// Reads this many bytes through the argument and keeps no address.
    Reads(Reg, Size),
    /// Its arguments may be addresses of memory that it accesses upwards from there: so many bytes, where that is known.
    Upwards([Option<u32>; 5]),
    /// A callback or what else may go anywhere.
    Anywhere,
}

/// What registers hold: an offset from the frame pointer, or something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Regs([i32; Reg::COUNT]);

impl Regs {
    /// Something else. Half as much to copy, for every instruction, as with an option.
    const ELSE: i32 = i32::MIN;

    fn get(&self, r: Reg) -> Option<i32> {
        self.at(r.index())
    }

    fn at(&self, n: usize) -> Option<i32> {
        self.0.get(n).copied().filter(|c| *c != Regs::ELSE)
    }

    fn has(&self, r: Reg) -> bool {
        self.get(r).is_some()
    }

    fn set(&mut self, r: Reg, c: Option<i32>) {
        self.0[r.index()] = c.unwrap_or(Regs::ELSE);
    }

    /// r1 to r5.
    fn arguments(&self) -> impl Iterator<Item = Option<i32>> {
        (1..6).map(|n| self.at(n))
    }
}

struct Walk<'a> {
    program: &'a VerifiedProgram,
    whole: bool,
    /// Everything from here up is accessed by others.
    from: i32,
    accesses: BTreeMap<(i32, Size), bool>,
    /// Bytes that helpers access: first and one past the last.
    lent: BTreeSet<(i32, i32)>,
    /// Accesses to the frame whose place is not constant.
    unknown: bool,
    /// Accesses to memory of several kinds.
    mixed: bool,
    /// What may give an address of memory that it was handed is called.
    gives_back: bool,
}

/// `helper` says how the call at a slot uses its arguments, `live` which registers are read from an instruction on.
pub(crate) fn analyse(
    p: &VerifiedProgram,
    range: &Range<Pc>,
    helper: &dyn Fn(Pc) -> Use,
    live: &dyn Fn() -> Vec<RegSet>,
    lowerings: Lowerings,
) -> Frame {
    let used = |pc: &Pc| reached(p, *pc) && p.insns()[*pc].uses().contains(Reg::R10);
    if lowerings.has(Lowerings::DEAD) && !range.clone().any(|pc| used(&pc)) {
        // Nothing here has an address of the frame.
        return Frame::default();
    }
    let mut read: Option<Vec<RegSet>> = None;
    let mut entry: Vec<Option<Regs>> = vec![None; range.len() + 1];
    let mut start = Regs([Regs::ELSE; Reg::COUNT]);
    start.set(Reg::R10, Some(0));
    if range.is_empty() {
        return Frame::default();
    }
    entry[0] = Some(start);
    let mut walk = Walk {
        program: p,
        whole: false,
        from: 0,
        accesses: BTreeMap::new(),
        lent: BTreeSet::new(),
        unknown: false,
        mixed: false,
        // Where this is left out, all that may be the frame is.
        gives_back: !lowerings.has(Lowerings::DEAD),
    };
    let mut work = vec![range.start];
    // A join came after the first visit of what it changes.
    let mut changed = false;
    while let Some(mut pc) = work.pop() {
        let Some(mut regs) = entry[pc - range.start] else {
            continue;
        };
        while reached(p, pc) {
            regs = walk.step(pc, regs, helper);
            let insn = &p.insns()[pc];
            if matches!(insn, Insn::JumpReg { .. }) {
                walk.whole = true;
            }
            let mut next = None;
            for to in successors(p, pc).filter(|to| range.contains(to)) {
                let slot = &mut entry[to - range.start];
                let Some(old) = slot else {
                    *slot = Some(regs);
                    // One way is gone on with at once.
                    work.extend(next.replace(to));
                    continue;
                };
                if *old == regs {
                    continue;
                }
                for (n, r) in Reg::all().enumerate() {
                    let (was, is) = (old.0[n], regs.0[n]);
                    if was != is {
                        // What nobody reads leads nowhere.
                        let live = read.get_or_insert_with(live);
                        let read = live.get(to - range.start);
                        walk.whole |= read.is_none_or(|read| read.contains(r));
                    }
                    if was != is && was != Regs::ELSE {
                        old.set(r, None);
                        changed = true;
                        if work.last() != Some(&to) {
                            work.push(to);
                        }
                    }
                }
            }
            match next {
                Some(to) => pc = to,
                None => break,
            }
        }
    }
    if changed {
        // Accesses count by what finally holds.
        walk.accesses.clear();
        for pc in range.clone() {
            if let Some(regs) = entry[pc - range.start].filter(|_| reached(p, pc)) {
                walk.step(pc, regs, helper);
            }
        }
    }
    let mut frame = walk.finish(lowerings.has(Lowerings::SLOTS));
    frame.bases = Bases {
        start: range.start,
        entry,
    };
    if lowerings.has(Lowerings::PRESSURE) {
        pressure::relieve(p, range, &mut frame, helper);
    }
    frame.clear |= !lowerings.has(Lowerings::CLEARING);
    if frame.memory > 0 && !frame.clear {
        frame.clear = reads_unwritten(p, range, &frame, helper);
    }
    frame
}

/// The bytes of a frame, one bit each, the lowest address first.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Bytes([u64; FRAME as usize / 64]);

impl Bytes {
    /// Indices of the bytes from `at` to `end` that lie in the frame.
    fn indices(at: i32, end: i32) -> Range<usize> {
        let index = |at: i32| at.clamp(-FRAME, 0).abs_diff(-FRAME) as usize;
        index(at)..index(end)
    }

    fn insert(&mut self, at: i32, end: i32) {
        for i in Bytes::indices(at, end) {
            self.0[i / 64] |= 1 << (i % 64);
        }
    }

    fn contains(&self, at: i32, end: i32) -> bool {
        Bytes::indices(at, end).all(|i| self.0[i / 64] >> (i % 64) & 1 == 1)
    }
}

/// Functions longer than this are taken to read what they never wrote.
const MAX_FOLLOWED: usize = 1 << 16;

/// Whether some path may read a byte of the frame's memory before it is written.
fn reads_unwritten(
    p: &VerifiedProgram,
    range: &Range<Pc>,
    frame: &Frame,
    helper: &dyn Fn(Pc) -> Use,
) -> bool {
    let entry = &frame.bases.entry;
    if range.len() > MAX_FOLLOWED {
        return true;
    }
    let mut written: Vec<Option<Bytes>> = vec![None; range.len() + 1];
    written[0] = Some(Bytes([0; FRAME as usize / 64]));
    let mut work = vec![range.start];
    while let Some(pc) = work.pop() {
        let n = pc - range.start;
        let (Some(mut now), Some(regs)) = (written[n], entry[n]) else {
            continue;
        };
        if !reached(p, pc) {
            continue;
        }
        let at = |base: Reg, off: i16| regs.get(base).map(|c| c.saturating_add(off.into()));
        match p.insns()[pc] {
            Insn::Store {
                size, base, off, ..
            }
            | Insn::StoreRelease {
                size, base, off, ..
            } => {
                if let Some(at) = at(base, off) {
                    now.insert(at, at + size.bytes() as i32);
                }
            }
            Insn::Load {
                size, base, off, ..
            }
            | Insn::LoadAcquire {
                size, base, off, ..
            }
            | Insn::Atomic {
                size, base, off, ..
            } => {
                if let Some(at) = at(base, off)
                    && !frame.values.contains_key(&at)
                    && !now.contains(at, at + size.bytes() as i32)
                {
                    return true;
                }
            }
            Insn::Call(CallTarget::Helper(_) | CallTarget::Kfunc { .. }) => {
                let extents = match helper(pc) {
                    Use::Upwards(extents) => extents,
                    Use::Reads(reg, size) => {
                        let mut extents = [Some(0); 5];
                        let slot = regs.get(reg).filter(|at| frame.values.contains_key(at));
                        if let (None, Some(e)) = (slot, extents.get_mut(reg.index() - 1)) {
                            *e = Some(size.bytes() as u32);
                        }
                        extents
                    }
                    Use::Anywhere => [None; 5],
                };
                for (c, extent) in regs.arguments().zip(extents) {
                    let end = |c: i32, n: u32| c.saturating_add(i32::try_from(n).unwrap_or(FRAME));
                    match (c, extent) {
                        (Some(c), Some(n)) if now.contains(c, end(c, n)) => {}
                        (Some(_), _) => return true,
                        (None, _) => {}
                    }
                }
            }
            _ => {}
        }
        for to in successors(p, pc).filter(|to| range.contains(to)) {
            let slot = &mut written[to - range.start];
            let joined = match slot {
                None => now,
                Some(old) => {
                    let mut both = *old;
                    for (a, b) in both.0.iter_mut().zip(now.0) {
                        *a &= b;
                    }
                    both
                }
            };
            if *slot != Some(joined) {
                *slot = Some(joined);
                work.push(to);
            }
        }
    }
    false
}

impl Walk<'_> {
    fn step(&mut self, pc: Pc, mut regs: Regs, helper: &dyn Fn(Pc) -> Use) -> Regs {
        let insn = self.program.insns()[pc];
        let mut result = None;
        match insn {
            Insn::Mov {
                width: Width::W64,
                src: Src::Reg(r),
                ..
            } => result = regs.get(r),
            Insn::Alu {
                op: op @ (AluOp::Add | AluOp::Sub),
                width: Width::W64,
                dst,
                src: Src::Imm(i),
            } => {
                let moved = |c: i32| match op {
                    AluOp::Add => c.checked_add(i),
                    _ => c.checked_sub(i),
                };
                result = regs.get(dst).and_then(moved);
                result = result.filter(|c| *c != Regs::ELSE);
                self.whole |= regs.has(dst) && result.is_none();
            }
            Insn::Load {
                size, base, off, ..
            } => self.access(pc, &regs, base, off, size, true),
            Insn::Store {
                size,
                base,
                off,
                src,
            } => {
                self.leak(&regs, src.reg());
                self.access(pc, &regs, base, off, size, true);
            }
            Insn::LoadAcquire {
                size, base, off, ..
            } => self.access(pc, &regs, base, off, size, false),
            Insn::StoreRelease {
                size,
                base,
                off,
                src,
            }
            | Insn::Atomic {
                size,
                base,
                off,
                src,
                ..
            } => {
                self.leak(&regs, Some(src));
                self.leak(&regs, Some(Reg::R0));
                self.access(pc, &regs, base, off, size, false);
            }
            // Comparing an address makes no other way to it.
            Insn::JumpIf { .. } | Insn::Exit | Insn::LoadImm64 { .. } | Insn::LoadPacket { .. } => {
            }
            Insn::Call(CallTarget::Helper(_)) => self.call(&regs, helper(pc)),
            Insn::Call(CallTarget::Kfunc { .. }) => {
                self.gives_back = true;
                self.call(&regs, helper(pc));
            }
            Insn::Call(_) => {
                self.whole |= regs.arguments().any(|c| c.is_some());
            }
            _ => {
                for r in insn.uses().iter() {
                    self.leak(&regs, Some(r));
                }
            }
        }
        for r in insn.defs().iter() {
            regs.set(r, result);
        }
        regs
    }

    fn call(&mut self, regs: &Regs, how: Use) {
        match how {
            Use::Anywhere => self.whole |= regs.arguments().any(|c| c.is_some()),
            Use::Upwards(extents) => {
                for (c, extent) in regs.arguments().zip(extents) {
                    match (c, extent) {
                        (Some(c), Some(n)) => {
                            let end = i32::try_from(n).map_or(0, |n| c.saturating_add(n));
                            self.lent.insert((c, end));
                        }
                        (Some(c), None) => self.from = self.from.min(c),
                        (None, _) => {}
                    }
                }
            }
            Use::Reads(reg, size) => {
                if let Some(c) = regs.get(reg) {
                    self.accesses.entry((c, size)).or_insert(true);
                }
            }
        }
    }

    fn leak(&mut self, regs: &Regs, r: Option<Reg>) {
        self.whole |= r.is_some_and(|r| regs.has(r));
    }

    fn access(&mut self, pc: Pc, regs: &Regs, base: Reg, off: i16, size: Size, plain: bool) {
        match regs.get(base) {
            Some(c) => {
                let at = c.saturating_add(i32::from(off));
                *self.accesses.entry((at, size)).or_insert(true) &= plain;
            }
            None => {
                let region = self.program.facts().get(pc).and_then(|f| f.access);
                let region = region.map(|a| a.region);
                self.unknown |= matches!(region, Some(Region::Stack) | None);
                self.mixed |= region == Some(Region::Mixed);
            }
        }
    }

    fn finish(self, slots: bool) -> Frame {
        let accesses = self.accesses.iter();
        let mut list: Vec<(i32, i32, Size, bool)> = accesses
            .map(|((at, size), plain)| (*at, *at + size.bytes() as i32, *size, *plain))
            .collect();
        let lent = self.lent.iter().filter(|(at, end)| at < end);
        list.extend(lent.map(|(at, end)| (*at, *end, Size::B, false)));
        list.sort_unstable_by_key(|g| (g.0, g.1));
        let mut frame = Frame::default();
        // Where the frame's addresses went is not followed: all of it may be accessed.
        // What holds an address of it on some way is followed up to where it meets another one, and stored nowhere; so an
        // access to memory of several kinds is none to the frame, unless a call gave the address.
        let whole = self.whole || self.unknown || self.mixed && self.gives_back;
        let mut lowest = if whole { -FRAME } else { self.from };
        // Groups of accesses that overlap; sorted by offset.
        let mut i = 0;
        while let Some(&(at, end, size, plain)) = list.get(i) {
            let (mut j, mut reach, mut alone) = (i + 1, end, plain);
            while let Some(next) = list.get(j).filter(|n| n.0 < reach) {
                reach = reach.max(next.1);
                alone = false;
                j += 1;
            }
            if slots && alone && !whole && end <= self.from.min(0) && at >= -FRAME {
                frame.values.insert(at, size);
            } else {
                lowest = lowest.min(at);
            }
            i = j;
        }
        frame.clear = whole;
        frame.memory = lowest.clamp(-FRAME, 0).unsigned_abs();
        frame
    }
}
