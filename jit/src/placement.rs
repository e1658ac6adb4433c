//! A function's loops and jumps → where it should start within a line of the instruction cache.
//!
//! The code generator aligns neither; but where a function starts is ours to choose, and all that is in it moves along.
//!
//! - A processor takes in a line of instructions at a time: a loop of a few instructions that lies in two lines takes
//!   twice as long as one that lies in one.
//! - Intel's processors from Skylake to Cascade Lake do not keep the decoded instructions of a block of 32 bytes in which a
//!   jump (with the comparison that it is fused with) crosses the block's end or ends there: such a loop is decoded anew with
//!   every lap, and takes two to three times as long ("Mitigations for Jump Conditional Code Erratum", Intel, 2019).

use cranelift_codegen::CompiledCode;

use crate::target::Arch;

/// Bytes of a line.
pub(crate) const LINE: u32 = 64;
/// Bytes of a block of which the decoded instructions are kept or not, on x86-64.
const BLOCK: u32 = 32;
/// Functions without jumps that matter start at multiples of this.
const STEP: u32 = 16;
/// Loops counted as nested no deeper.
const MAX_DEPTH: usize = 6;
/// Functions of more jumps back start anywhere, and those where following them takes more steps.
const MAX_LOOPS: usize = 256;
const MAX_STEPS: usize = 1 << 18;
/// Bytes of a jump, of a conditional one, and of a call, as they are generated.
const JMP: u32 = 5;
const JCC: u32 = 6;
const CALL: u32 = 5;
/// Bytes of a comparison: the longest, and one of two registers, where it is not known where it begins.
const MAX_COMPARISON: u32 = 10;
const COMPARISON: u32 = 3;

/// From the first byte to the one after the last.
type Span = (u32, u32);

/// The offset in a line at which the code is taken in with the least work, when it matters.
pub(crate) fn offset(compiled: &CompiledCode, arch: Arch) -> Option<u32> {
    let blocks = Blocks::new(compiled);
    let loops = blocks.loops(compiled)?;
    let (jumps, step) = match arch {
        Arch::X86_64 => (jumps(compiled, &blocks), compiled.buffer.alignment.max(1)),
        Arch::Aarch64 => (Vec::new(), compiled.buffer.alignment.max(STEP)),
    };
    if step > STEP || loops.is_empty() && jumps.is_empty() {
        return None;
    }
    let jumps = jumps.into_iter();
    let jumps = jumps.map(|(at, block)| (at, weight(&loops, block)));
    let heads = loops.iter().map(|l| (l.span, weight(&loops, l.head)));
    Some(best(
        &heads.collect::<Vec<_>>(),
        &jumps.collect::<Vec<_>>(),
        step,
    ))
}

/// Loops and jumps, each with how much it counts → the best start.
fn best(loops: &[(Span, u64)], jumps: &[(Span, u64)], step: u32) -> u32 {
    let cost = |start: u32| -> u64 {
        let crossed = loops.iter().map(|&((from, to), weight)| {
            let len = to - from;
            let lines = ((start + from) % LINE + len).div_ceil(LINE);
            u64::from(lines - len.div_ceil(LINE)) * weight
        });
        let hit = jumps.iter().filter(|(jump, _)| hits(start, *jump));
        let decoded = hit.map(|(_, weight)| 2 * weight);
        crossed.chain(decoded).sum()
    };
    // Of equals, the one that is aligned best.
    let starts = (0..LINE).step_by(step as usize);
    let starts = starts.map(|s| (cost(s), LINE - aligned(s), s));
    starts.min().map_or(0, |(.., s)| s)
}

/// The greatest power of two that divides an offset in a line, up to [`STEP`].
fn aligned(start: u32) -> u32 {
    1 << start.trailing_zeros().min(STEP.trailing_zeros())
}

/// Whether a jump crosses a block's end or ends there.
fn hits(start: u32, (from, to): Span) -> bool {
    (start + from) / BLOCK != (start + to) / BLOCK
}

/// How often a basic block runs, as far as loops tell: more the deeper it is nested and the shorter the lap that it is part of.
fn weight(loops: &[Loop], block: usize) -> u64 {
    let around = loops.iter().filter(|l| l.has[block]);
    let (depth, lap) = around.fold((0, u32::MAX), |(n, lap), l| {
        (n + 1, lap.min(l.span.1 - l.span.0))
    });
    // Of a long lap, one line more is little.
    let share = u64::from(LINE) << (4 * depth.min(MAX_DEPTH));
    match depth {
        0 => 1,
        _ => (share / u64::from(lap.max(1))).max(1),
    }
}

/// What is run again and again.
struct Loop {
    /// From the first byte of its head to the end of its last jump back.
    span: Span,
    head: usize,
    /// Which basic blocks are on a way from its head back to it: what leaves it may lie between them.
    has: Vec<bool>,
}

/// The basic blocks of machine code: where each starts, ascending, and where the last one ends.
struct Blocks(Vec<u32>);

impl Blocks {
    fn new(compiled: &CompiledCode) -> Blocks {
        let mut starts = compiled.bb_starts.clone();
        starts.push(0);
        starts.push(compiled.code_buffer().len() as u32);
        starts.sort_unstable();
        starts.dedup();
        Blocks(starts)
    }

    fn len(&self) -> usize {
        self.0.len() - 1
    }

    fn of(&self, at: u32) -> usize {
        let after = self.0.partition_point(|s| *s <= at);
        after.saturating_sub(1).min(self.len().saturating_sub(1))
    }

    fn end(&self, block: usize) -> u32 {
        self.0[block + 1]
    }

    /// Where it jumps back to, one loop; `None`: too many to look at.
    fn loops(&self, compiled: &CompiledCode) -> Option<Vec<Loop>> {
        let edges = compiled.bb_edges.iter();
        let edges: Vec<_> = edges.map(|&(a, b)| (self.of(a), self.of(b))).collect();
        let mut back: Vec<_> = edges.iter().filter(|(a, b)| b <= a).copied().collect();
        back.sort_unstable_by_key(|&(from, to)| (to, from));
        back.dedup();
        if back.len() > MAX_LOOPS || back.len() * edges.len() > MAX_STEPS {
            return None;
        }
        if back.is_empty() {
            return Some(Vec::new());
        }
        let mut before = vec![Vec::new(); self.len()];
        for &(from, to) in &edges {
            before[to].push(from);
        }
        let loops = back.chunk_by(|a, b| a.1 == b.1).map(|jumps| {
            let (last, head) = jumps[jumps.len() - 1];
            let mut has = vec![false; self.len()];
            has[head] = true;
            let mut open: Vec<_> = jumps.iter().map(|j| j.0).collect();
            while let Some(block) = open.pop() {
                if !std::mem::replace(&mut has[block], true) {
                    open.extend(&before[block]);
                }
            }
            let span = (self.0[head], self.end(last));
            Loop { span, head, has }
        });
        Some(loops.collect())
    }
}

/// The jumps that end basic blocks, calls and returns, of x86-64, and whose they are. What looks like one and is none costs a
/// place that would have done as well.
fn jumps(compiled: &CompiledCode, blocks: &Blocks) -> Vec<(Span, usize)> {
    let code = compiled.code_buffer();
    let has = |at: Option<u32>, byte: u8, mask: u8| {
        let found = at.and_then(|at| code.get(at as usize));
        found.is_some_and(|b| b & mask == byte)
    };
    let mut jumps = Vec::new();
    for call in compiled.buffer.call_sites() {
        let at = call.ret_addr.saturating_sub(CALL);
        jumps.push(((at, call.ret_addr), blocks.of(at)));
    }
    for block in 0..blocks.len() {
        let mut end = blocks.end(block);
        if has(end.checked_sub(1), 0xc3, 0xff) {
            jumps.push(((end - 1, end), block));
            continue;
        }
        if has(end.checked_sub(JMP), 0xe9, 0xff) {
            jumps.push(((end - JMP, end), block));
            end -= JMP;
        }
        if let Some(at) = end.checked_sub(JCC)
            && has(Some(at), 0x0f, 0xff)
            && has(Some(at + 1), 0x80, 0xf0)
        {
            jumps.push(((fused(compiled, at), end), block));
        }
    }
    jumps
}

/// Where the comparison begins that belongs to a conditional jump: both come of one instruction.
fn fused(compiled: &CompiledCode, at: u32) -> u32 {
    let locations = compiled.buffer.get_srclocs_sorted();
    let next = locations.partition_point(|l| l.start <= at);
    let here = next.checked_sub(1).and_then(|n| locations.get(n));
    let here = here.filter(|l| !l.loc.is_default() && at + JCC <= l.end && l.start < at);
    match here {
        Some(l) if at - l.start <= MAX_COMPARISON => l.start,
        _ => at.saturating_sub(COMPARISON),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By a count of its own, whichever way a jump lies.
    #[test]
    fn jumps_of_loops_avoid_the_ends_of_blocks() {
        for from in 0..96 {
            for len in [2, 6, 9, 13] {
                let jump = (from, from + len);
                let start = best(&[((from / 2, from + len), 16)], &[(jump, 16)], 1);
                let touched = (jump.0..=jump.1).map(|at| (start + at) / 32);
                let touched: Vec<u32> = touched.collect();
                let one = touched.iter().all(|b| *b == touched[0]);
                assert!(one, "{jump:?} from {start}: {touched:?}");
            }
        }
    }

    #[test]
    fn a_loop_that_fits_lies_in_one_line() {
        for from in 0..128 {
            for len in [20, 40, 64] {
                for step in [1, 4, 16] {
                    let start = best(&[((from, from + len), 16)], &[], step);
                    assert_eq!(start % step, 0);
                    let lines = (start + from) / 64..=(start + from + len - 1) / 64;
                    // Only every so many starts can be chosen.
                    let fits = (0..64).step_by(step as usize);
                    let mut fits = fits.map(|s| (s + from) % 64 + len <= 64);
                    assert_eq!(lines.count() == 1, fits.any(|f| f), "{from} {len} {step}");
                }
            }
        }
    }

    /// What weighs most comes first, whatever it takes of the others.
    #[test]
    fn the_deepest_loop_comes_first() {
        let mut jumps: Vec<_> = (0..12).map(|n| ((200 + 13 * n, 209 + 13 * n), 2)).collect();
        jumps.push(((131, 140), 100));
        let start = best(&[], &jumps, 1);
        assert!(!hits(start, (131, 140)));
    }

    /// Where nothing is to be had, functions start where they would have.
    #[test]
    fn of_equals_the_best_aligned_start() {
        assert_eq!(best(&[], &[((3, 5), 1)], 1), 0);
        assert_eq!(best(&[], &[((30, 36), 1)], 1), 16);
        assert_eq!(best(&[], &[((14, 20), 1), ((30, 36), 1)], 1), 8);
    }
}
