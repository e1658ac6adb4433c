//! Stack slots that could be values, more than registers have room for → those that stay values.
//!
//! A compiler puts into the stack what it had no registers for. As values, many such slots at once are spilled by the
//! register allocator again, after it has tried long to find them room. So where many live at the same
//! time, all of those stay in memory: what is accessed there costs no more than what is spilled.
//!
//! **Invariant:** this only decides between two right translations: what a slot holds, and that all of its
//! accesses are at one place and of one size, is known before.

use std::ops::Range;

use probity_isa::{CallTarget, Insn, Pc};
use probity_verifier::VerifiedProgram;

use crate::flow::{reached, successors};
use crate::frame::{FRAME, Frame, Use};

/// Slots that may be values at the same time, beside the registers.
const MAX_LIVE: u32 = 6;
/// What one bit each is kept of.
const MAX_SLOTS: usize = 64;
/// Functions longer than this, and loops nested so that liveness needs more rounds, are left as they are.
const MAX_FOLLOWED: usize = 1 << 16;
const MAX_ROUNDS: usize = 16;

/// Where slots are accessed, a bit each.
struct Accesses {
    reads: Vec<u64>,
    writes: Vec<u64>,
}

/// Leaves slots in memory that there would be no registers for.
pub(crate) fn relieve(
    p: &VerifiedProgram,
    range: &Range<Pc>,
    frame: &mut Frame,
    helper: &dyn Fn(Pc) -> Use,
) {
    let slots: Vec<i32> = frame.values.keys().copied().collect();
    if slots.len() <= MAX_LIVE as usize || slots.len() > MAX_SLOTS || range.len() > MAX_FOLLOWED {
        return;
    }
    let accesses = accesses(p, range, frame, &slots, helper);
    let Some(live) = liveness(p, range, &accesses) else {
        return;
    };
    let crowded = live.iter().filter(|l| l.count_ones() > MAX_LIVE);
    let crowded = crowded.fold(0, |all, l| all | l);
    for (n, at) in slots.iter().enumerate() {
        if crowded >> n & 1 == 1 {
            frame.values.remove(at);
            frame.memory = frame.memory.max(at.unsigned_abs());
        }
    }
}

fn accesses(
    p: &VerifiedProgram,
    range: &Range<Pc>,
    frame: &Frame,
    slots: &[i32],
    helper: &dyn Fn(Pc) -> Use,
) -> Accesses {
    let mut numbers = [None; FRAME as usize + 1];
    for (n, at) in slots.iter().enumerate() {
        if let Some(number) = numbers.get_mut(at.unsigned_abs() as usize) {
            *number = Some(n);
        }
    }
    let slot = |at: i32| {
        let number = numbers.get(at.unsigned_abs() as usize);
        number.copied().flatten().filter(|_| at < 0)
    };
    let mut found = Accesses {
        reads: vec![0; range.len()],
        writes: vec![0; range.len()],
    };
    for pc in range.clone().filter(|pc| reached(p, *pc)) {
        let (base, off, writes) = match p.insns()[pc] {
            Insn::Load { base, off, .. } => (base, off, false),
            Insn::Store { base, off, .. } => (base, off, true),
            Insn::Call(CallTarget::Helper(_)) => match helper(pc) {
                Use::Reads(r, _) => (r, 0, false),
                _ => continue,
            },
            _ => continue,
        };
        let at = frame.bases.get(pc, base);
        let at = at.map(|c| c.saturating_add(i32::from(off)));
        let Some(n) = at.and_then(slot) else {
            continue;
        };
        let i = pc - range.start;
        match writes {
            true => found.writes[i] |= 1 << n,
            false => found.reads[i] |= 1 << n,
        }
    }
    found
}

/// The slots that are read before they are written, from each instruction on.
fn liveness(p: &VerifiedProgram, range: &Range<Pc>, accesses: &Accesses) -> Option<Vec<u64>> {
    let mut live = vec![0u64; range.len()];
    for _ in 0..MAX_ROUNDS {
        let mut changed = false;
        for pc in range.clone().rev().filter(|pc| reached(p, *pc)) {
            let i = pc - range.start;
            let behind = successors(p, pc).filter(|to| range.contains(to));
            let out = behind.fold(0, |out, to| out | live[to - range.start]);
            let before = accesses.reads[i] | out & !accesses.writes[i];
            changed |= before != live[i];
            live[i] = before;
        }
        if !changed {
            return Some(live);
        }
    }
    None
}
