//! Straight lines: arithmetic, stores, offsets that vary, atomics, spills. Nothing to decide, or nearly so.

use super::Longest::Exact;
use super::Scales::Size;
use super::{Family, HEAD, LENGTHS, ONES, SLOTS, TAIL, each, program, with_cells};

pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "length/alu",
        what: "n operations on numbers that are not known",
        scales: Size,
        sizes: LENGTHS,
        text: alu,
        input: ONES,
        fill: 0,
        longest: Exact(|n| 4 + n),
    },
    Family {
        name: "length/stack",
        what: "n stores of unknown numbers to 60 stack slots, and loads of them",
        scales: Size,
        sizes: LENGTHS,
        text: stack,
        input: ONES,
        fill: 0,
        longest: Exact(|n| 3 + 60 + 2 * n),
    },
    Family {
        name: "offset/masks",
        what: "n reads of a map value at offsets that a mask bounds",
        scales: Size,
        sizes: LENGTHS,
        text: masks,
        input: ONES,
        fill: 0,
        longest: Exact(|n| HEAD + 6 * n + TAIL),
    },
    Family {
        name: "offset/checks",
        what: "n reads of a map value at offsets that a comparison bounds",
        scales: Size,
        sizes: &[10, 100, 1_000, 5_000],
        text: checks,
        input: super::Input::Words(|_| 5),
        fill: 0,
        longest: Exact(|n| HEAD + 6 * n + TAIL),
    },
    Family {
        name: "offset/sum",
        what: "a map value's pointer moved by n masked offsets, read after each",
        scales: Size,
        sizes: &[10, 100, 1_000],
        text: sum,
        input: ONES,
        fill: 0,
        longest: Exact(|n| HEAD + 5 * n + TAIL),
    },
    Family {
        name: "offset/stack",
        what: "n stores to the stack at masked offsets",
        scales: Size,
        sizes: LENGTHS,
        text: stack_offsets,
        input: ONES,
        fill: 0,
        longest: Exact(|n| HEAD + 5 * n + TAIL),
    },
    Family {
        name: "atomic/add",
        what: "n atomic additions to a map value",
        scales: Size,
        sizes: LENGTHS,
        text: |n| {
            let add = |i| format!("lock *(u64 *)(r9 + {}) += r8\n", i % 8 * 8);
            with_cells(64, &each(n, add))
        },
        input: ONES,
        fill: 0,
        longest: Exact(|n| HEAD + n + TAIL),
    },
    Family {
        name: "atomic/fetch",
        what: "n atomic exchanges, each result tested",
        scales: Size,
        sizes: LENGTHS,
        text: |n| {
            let fetch = |i| {
                format!(
                    "r1 = 1\nr1 = atomic_fetch_add((u64 *)(r9 + {}), r1)\nif r1 == 0 goto l{i}\nr7 += 1\nl{i}:\n",
                    i % 8 * 8
                )
            };
            with_cells(64, &each(n, fetch))
        },
        input: ONES,
        fill: 1,
        longest: Exact(|n| HEAD + 4 * n + TAIL),
    },
    Family {
        name: "spill/loop",
        what: "n numbers in stack slots, all read and written by a loop of 100 laps",
        scales: Size,
        sizes: SLOTS,
        text: spill_loop,
        input: ONES,
        fill: 0,
        longest: Exact(|n| 2 + n + 100 * (3 * n + 2) + 2),
    },
    Family {
        name: "spill/ladder",
        what: "n numbers in stack slots, read after a ladder of n branches",
        scales: Size,
        sizes: SLOTS,
        text: spill_ladder,
        input: ONES,
        fill: 0,
        longest: Exact(|n| HEAD + n * (2 + 3 + 2) + 1 + TAIL),
    },
];

fn alu(n: u64) -> String {
    let op = |i: u64| {
        let (dst, src) = (2 + i % 3, 2 + (i + 1) % 3);
        match i % 8 {
            0 => format!("r{dst} += r{src}\n"),
            1 => format!("r{dst} ^= r{src}\n"),
            2 => format!("r{dst} *= {}\n", 3 + i % 100),
            3 => format!("r{dst} >>= {}\n", 1 + i % 7),
            4 => format!("w{dst} -= w{src}\n"),
            5 => format!("r{dst} |= r{src}\n"),
            6 => format!("r{dst} += {}\n", i % 1000),
            _ => format!("r{dst} = r{src}\n"),
        }
    };
    let loads = "r2 = *(u64 *)(r1 + 0)\nr3 = *(u64 *)(r1 + 8)\nr4 = *(u64 *)(r1 + 16)\n";
    // What is computed is the result.
    program(&format!("{loads}r0 = 0\n{}exit\n", each(n - 1, op)))
}

fn stack(n: u64) -> String {
    let init = each(60, |i| format!("*(u64 *)(r10 - {}) = r2\n", 8 + 8 * i));
    let op = |i: u64| {
        format!(
            "r3 = *(u64 *)(r10 - {})\n*(u64 *)(r10 - {}) = r3\n",
            8 + 8 * (i % 60),
            8 + 8 * (i * 7 % 60)
        )
    };
    program(&format!(
        "r2 = *(u64 *)(r1 + 0)\n{init}{}r0 = 0\nexit\n",
        each(n, op)
    ))
}

fn masks(n: u64) -> String {
    let read = |i: u64| {
        format!(
            "r1 = *(u64 *)(r6 + {})\nr1 &= 63\nr2 = r9\nr2 += r1\nr3 = *(u8 *)(r2 + 0)\nr7 += r3\n",
            i % 12 * 8
        )
    };
    with_cells(64, &each(n, read))
}

fn checks(n: u64) -> String {
    let read = |i: u64| {
        format!(
            "r1 = *(u64 *)(r6 + {})\nif r1 > {} goto out\nr2 = r9\nr2 += r1\nr3 = *(u8 *)(r2 + 0)\nr7 += r3\n",
            i % 12 * 8,
            32 + i % 32
        )
    };
    with_cells(64, &each(n, read))
}

fn sum(n: u64) -> String {
    let read = |i: u64| {
        format!(
            "r1 = *(u64 *)(r6 + {})\nr1 &= 15\nr9 += r1\nr3 = *(u8 *)(r9 + 0)\nr7 += r3\n",
            i % 12 * 8
        )
    };
    with_cells(15 * n + 1, &each(n, read))
}

fn stack_offsets(n: u64) -> String {
    let write = |i: u64| {
        format!(
            "r1 = *(u64 *)(r6 + {})\nr1 &= 31\nr2 = r10\nr2 += r1\n*(u8 *)(r2 - {}) = r8\n",
            i % 12 * 8,
            64 + i % 8 * 32
        )
    };
    with_cells(8, &each(n, write))
}

fn spill_loop(n: u64) -> String {
    let init = each(n, |i| format!("*(u64 *)(r10 - {}) = r2\n", 8 + 8 * i));
    let body = each(n, |i| {
        let slot = 8 + 8 * i;
        format!("r1 = *(u64 *)(r10 - {slot})\nr1 += r2\n*(u64 *)(r10 - {slot}) = r1\n")
    });
    program(&format!(
        "r2 = *(u64 *)(r1 + 0)\nr6 = 0\n{init}lap:\n{body}r6 += 1\nif r6 != 100 goto lap\nr0 = 0\nexit\n"
    ))
}

fn spill_ladder(n: u64) -> String {
    let init = each(n, |i| {
        format!(
            "r1 = *(u64 *)(r6 + {})\n*(u64 *)(r10 - {}) = r1\n",
            i % 12 * 8,
            16 + 8 * i
        )
    });
    let rungs = each(n, |i| {
        format!(
            "r1 = *(u64 *)(r6 + {})\nif r1 == 0 goto l{i}\nr7 += {}\nl{i}:\n",
            i % 12 * 8,
            1 + i
        )
    });
    let reads = each(n, |i| {
        format!("r1 = *(u64 *)(r10 - {})\nr7 += r1\n", 16 + 8 * i)
    });
    with_cells(8, &format!("{init}{rungs}{reads}*(u64 *)(r9 + 0) = r7\n"))
}
