//! A function's loops → where it should start within a line of the instruction cache.
//!
//! A processor takes in a line of instructions at a time: a loop of a few instructions that lies in
//! two lines takes twice as long as one that lies in one. The code generator does not align loops;
//! but where a function starts is ours to choose, and its loops move with it.

use cranelift_codegen::CompiledCode;

/// Bytes of a line.
pub(crate) const LINE: u32 = 64;
/// Functions start at multiples of this.
const STEP: u32 = 16;
/// Loops counted as nested no deeper.
const MAX_DEPTH: usize = 6;
/// Functions of more loops start anywhere.
const MAX_LOOPS: usize = 256;

/// The offset in a line at which the fewest lines are crossed, when it matters.
pub(crate) fn offset(compiled: &CompiledCode) -> Option<u32> {
    if compiled.buffer.alignment > STEP {
        return None;
    }
    let loops = loops(compiled);
    if loops.is_empty() || loops.len() > MAX_LOOPS {
        return None;
    }
    let cost = |start: u32| -> u64 {
        let crossed = loops.iter().map(|&(from, to)| {
            let inside = |l: &&(u32, u32)| l.0 <= from && to <= l.1;
            let depth = loops.iter().filter(inside).count().min(MAX_DEPTH);
            let len = to - from;
            let lines = ((start + from) % LINE + len).div_ceil(LINE);
            let extra = u64::from(lines - len.div_ceil(LINE));
            // Of a long lap, one line more is little.
            extra * (1 << (4 * depth)) * u64::from(LINE) / u64::from(len.max(1))
        });
        crossed.sum()
    };
    (0..LINE / STEP).map(|n| n * STEP).min_by_key(|s| cost(*s))
}

/// From the first byte of each loop's head to the end of its jump back.
fn loops(compiled: &CompiledCode) -> Vec<(u32, u32)> {
    let mut starts = compiled.bb_starts.clone();
    starts.sort_unstable();
    let end = |from: u32| {
        let next = starts.partition_point(|s| *s <= from);
        let code = compiled.code_buffer().len() as u32;
        starts.get(next).copied().unwrap_or(code)
    };
    let mut loops: Vec<(u32, u32)> = Vec::new();
    for &(from, to) in compiled.bb_edges.iter().filter(|(from, to)| to <= from) {
        loops.push((to, end(from)));
    }
    loops.sort_unstable();
    loops.dedup();
    loops
}
