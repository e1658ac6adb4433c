//! Branches one after the other, inside of each other, and in comparison trees.

use super::Longest::{AtMost, Exact};
use super::Scales::Size;
use super::{Family, HEAD, Input, LENGTHS, ONES, TAIL, each, with_cells};

const ZEROS: Input = Input::Words(|_| 0);

pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "ladder/mask",
        what: "if (x & bit_i) a += c_i, the bit in a copy; a is stored as a number",
        scales: Size,
        sizes: LENGTHS,
        text: |n| with_cells(8, &format!("{}{STORE}", mask_rungs(n))),
        input: ONES,
        fill: 0,
        longest: Exact(|n| HEAD + 4 * n + n.div_ceil(31) + 1 + TAIL),
    },
    Family {
        name: "ladder/bits",
        what: "the same by a test of the bit in x itself",
        scales: Size,
        sizes: LENGTHS,
        text: |n| {
            let rungs = each(n, |i| {
                let bit = 1u32 << (i % 31);
                format!(
                    "{}if r8 & {bit} goto t{i}\ngoto l{i}\nt{i}:\nr7 += {}\nl{i}:\n",
                    reload(i),
                    1 + i % 5
                )
            });
            with_cells(8, &format!("{rungs}{STORE}"))
        },
        input: ONES,
        fill: 0,
        longest: Exact(|n| HEAD + 2 * n + n.div_ceil(31) + 1 + TAIL),
    },
    Family {
        name: "ladder/loads",
        what: "each branch over an unknown number loaded for it",
        scales: Size,
        sizes: LENGTHS,
        text: |n| {
            let rungs = each(n, |i| {
                format!(
                    "r1 = *(u64 *)(r6 + {})\nif r1 == {} goto l{i}\nr7 += r1\nl{i}:\n",
                    i % 12 * 8,
                    i % 7
                )
            });
            with_cells(8, &format!("{rungs}{STORE}"))
        },
        input: ONES,
        fill: 0,
        longest: Exact(|n| HEAD + 3 * n + 1 + TAIL),
    },
    Family {
        name: "ladder/ranges",
        what: "each branch compares another load by order, and adds what it bounded",
        scales: Size,
        sizes: LENGTHS,
        text: |n| {
            let rungs = each(n, |i| {
                format!(
                    "r1 = *(u32 *)(r6 + {})\nif r1 > {} goto l{i}\nr7 += r1\nl{i}:\n",
                    i % 12 * 8,
                    100 + i
                )
            });
            with_cells(8, &format!("{rungs}{STORE}"))
        },
        input: ZEROS,
        fill: 0,
        longest: Exact(|n| HEAD + 3 * n + 1 + TAIL),
    },
    Family {
        name: "ladder/offset-masked",
        what: "the sum, masked, is an offset into a map value",
        scales: Size,
        sizes: LENGTHS,
        text: |n| {
            let read = "r7 &= 255\nr9 += r7\nr0 = *(u8 *)(r9 + 0)\n";
            with_cells(256, &format!("{}{read}", mask_rungs(n)))
        },
        input: ONES,
        fill: 0,
        longest: Exact(|n| HEAD + 4 * n + n.div_ceil(31) + 3 + TAIL),
    },
    Family {
        name: "ladder/offset",
        what: "the sum itself is an offset into a map value that has room for the largest",
        scales: Size,
        sizes: LENGTHS,
        text: |n| {
            let read = "r9 += r7\nr0 = *(u8 *)(r9 + 0)\n";
            with_cells(5 * n + 1, &format!("{}{read}", mask_rungs(n)))
        },
        input: ONES,
        fill: 0,
        longest: Exact(|n| HEAD + 4 * n + n.div_ceil(31) + 2 + TAIL),
    },
    Family {
        name: "ladder/flags",
        what: "each branch sets a flag in a slot of its own; all are tested afterwards",
        scales: Size,
        sizes: &[4, 8, 16, 32, 56],
        text: flags,
        input: ONES,
        fill: 0,
        longest: Exact(|n| HEAD + 5 * n + n.div_ceil(31) + 3 * n + 1 + TAIL),
    },
    Family {
        name: "ladder/slots",
        what: "each branch stores one of two constants to one of 16 slots; all are added up afterwards",
        scales: Size,
        sizes: LENGTHS,
        text: slots,
        input: ONES,
        fill: 0,
        longest: Exact(|n| HEAD + 16 + 4 * n + n.div_ceil(31) + 2 * 16 + 1 + TAIL),
    },
    Family {
        name: "ladder/calls",
        what: "a helper is called where the bit is set, its result added",
        scales: Size,
        sizes: LENGTHS,
        text: |n| {
            let rungs = each(n, |i| {
                format!(
                    "{}r1 = r8\nr1 &= {}\nif r1 == 0 goto l{i}\ncall bpf_ktime_get_ns\nr7 += r0\nl{i}:\n",
                    reload(i),
                    1u32 << (i % 31)
                )
            });
            with_cells(8, &format!("{rungs}{STORE}"))
        },
        input: ONES,
        fill: 0,
        longest: Exact(|n| HEAD + 5 * n + n.div_ceil(31) + 1 + TAIL),
    },
    Family {
        name: "ladder/results",
        what: "each branch tests what a helper gave",
        scales: Size,
        sizes: LENGTHS,
        text: |n| {
            let rungs = each(n, |i| {
                format!(
                    "call bpf_get_prandom_u32\nif r0 > {} goto l{i}\nr7 += r0\nl{i}:\n",
                    1000 + i
                )
            });
            with_cells(8, &format!("{rungs}{STORE}"))
        },
        input: ONES,
        fill: 0,
        longest: AtMost(|n| HEAD + 3 * n + 1 + TAIL),
    },
    Family {
        name: "ladder/lookups",
        what: "n lookups, each result checked for NULL and read",
        scales: Size,
        sizes: LENGTHS,
        text: |n| {
            let rungs = each(n, |i| {
                format!(
                    "r1 = *(u32 *)(r6 + {})\n*(u32 *)(r10 - 4) = r1\nr2 = r10\nr2 += -4\nr1 = map cells ll\n\
                    call bpf_map_lookup_elem\nif r0 == 0 goto l{i}\nr1 = *(u64 *)(r0 + 0)\nr7 += r1\nl{i}:\n",
                    i % 12 * 8
                )
            });
            with_cells(8, &format!("{rungs}{STORE}"))
        },
        input: ZEROS,
        fill: 0,
        longest: Exact(|n| HEAD + 9 * n + 1 + TAIL),
    },
    Family {
        name: "ladder/same",
        what: "the same condition tested n times",
        scales: Size,
        sizes: LENGTHS,
        text: |n| {
            let rungs = each(n, |i| {
                format!("if r8 == 0 goto l{i}\nr7 += {}\nl{i}:\n", 1 + i % 5)
            });
            with_cells(8, &format!("{rungs}{STORE}"))
        },
        input: ONES,
        fill: 0,
        longest: Exact(|n| HEAD + 2 * n + 1 + TAIL),
    },
    Family {
        name: "ladder/held",
        what: "a flag is set by the first branch, n others follow, then the flag decides whether a pointer is one",
        scales: Size,
        sizes: LENGTHS,
        text: held,
        input: ONES,
        fill: 0,
        longest: Exact(|n| HEAD + 7 + 4 * n + n.div_ceil(31) + 3 + TAIL),
    },
    Family {
        name: "diamond/sequence",
        what: "n times if/else, each giving one of two constants to be added",
        scales: Size,
        sizes: LENGTHS,
        text: |n| {
            let one = |i| {
                format!(
                    "{}r1 = r8\nr1 &= {}\nif r1 != 0 goto t{i}\nr2 = {}\ngoto l{i}\nt{i}:\nr2 = {}\nl{i}:\nr7 += r2\n",
                    reload(i),
                    1u32 << (i % 31),
                    2 + i % 3,
                    10 + i % 5
                )
            };
            with_cells(8, &format!("{}{STORE}", each(n, one)))
        },
        input: ZEROS,
        fill: 0,
        longest: Exact(|n| HEAD + 6 * n + n.div_ceil(31) + 1 + TAIL),
    },
    Family {
        name: "diamond/nested",
        what: "if/else inside of if, n deep",
        scales: Size,
        sizes: &[10, 100, 1_000, 4_000],
        text: nested,
        input: ONES,
        fill: 0,
        longest: Exact(|n| HEAD + 3 * n + 2 + TAIL),
    },
    Family {
        name: "diamond/tree",
        what: "if/else to the depth that has n leaves, which all meet",
        scales: Size,
        sizes: &[16, 128, 1_024, 4_096],
        text: |n| {
            let mut body = String::new();
            tree(n.ilog2(), 1, &mut body);
            with_cells(8, &format!("{body}join:\n{STORE}"))
        },
        input: ZEROS,
        fill: 0,
        longest: Exact(|n| HEAD + 3 * u64::from(n.ilog2()) + 2 + 1 + TAIL),
    },
    Family {
        name: "switch/chain",
        what: "a number compared with n constants in turn, a block for each",
        scales: Size,
        sizes: LENGTHS,
        text: chain,
        input: Input::Words(|n| n - 1),
        fill: 0,
        longest: Exact(|n| HEAD + n + 2 + 1 + TAIL),
    },
    Family {
        name: "switch/tree",
        what: "the same by halves, as compilers do it",
        scales: Size,
        sizes: &[16, 128, 1_024, 4_096],
        text: |n| {
            let mut body = String::new();
            halves(0, n, &mut body);
            with_cells(8, &format!("{body}join:\n{STORE}"))
        },
        input: Input::Words(|n| n - 1),
        fill: 0,
        longest: Exact(|n| HEAD + u64::from(n.ilog2()) + 1 + 2 + 1 + TAIL),
    },
];

const STORE: &str = "*(u64 *)(r9 + 0) = r7\n";

/// Each 31 bits another word, so that branches are independent.
fn reload(i: u64) -> String {
    match i % 31 {
        0 => format!("r8 = *(u64 *)(r6 + {})\n", i / 31 % 12 * 8),
        _ => String::new(),
    }
}

fn mask_rungs(n: u64) -> String {
    each(n, |i| {
        format!(
            "{}r1 = r8\nr1 &= {}\nif r1 == 0 goto l{i}\nr7 += {}\nl{i}:\n",
            reload(i),
            1u32 << (i % 31),
            1 + i % 5
        )
    })
}

fn flags(n: u64) -> String {
    let set = each(n, |i| {
        let slot = 16 + 8 * i;
        format!(
            "{}*(u64 *)(r10 - {slot}) = 0\nr1 = r8\nr1 &= {}\nif r1 == 0 goto l{i}\n*(u64 *)(r10 - {slot}) = 1\nl{i}:\n",
            reload(i),
            1u32 << (i % 31)
        )
    });
    let test = each(n, |i| {
        format!(
            "r1 = *(u64 *)(r10 - {})\nif r1 == 0 goto f{i}\nr7 += {}\nf{i}:\n",
            16 + 8 * i,
            1 + i
        )
    });
    with_cells(8, &format!("{set}{test}{STORE}"))
}

fn slots(n: u64) -> String {
    let init = each(16, |i| format!("*(u64 *)(r10 - {}) = 0\n", 16 + 8 * i));
    let set = each(n, |i| {
        format!(
            "{}r1 = r8\nr1 &= {}\nif r1 == 0 goto l{i}\n*(u64 *)(r10 - {}) = {}\nl{i}:\n",
            reload(i),
            1u32 << (i % 31),
            16 + 8 * (i % 16),
            1 + i
        )
    });
    let add = each(16, |i| {
        format!("r1 = *(u64 *)(r10 - {})\nr7 += r1\n", 16 + 8 * i)
    });
    with_cells(8, &format!("{init}{set}{add}{STORE}"))
}

/// r9 is a pointer where the slot at -16 holds 1, and a number elsewhere.
fn held(n: u64) -> String {
    let start = "*(u64 *)(r10 - 16) = 0\nr2 = r9\nr3 = *(u64 *)(r6 + 8)\nr9 = 0\nif r3 == 0 goto none\n\
        *(u64 *)(r10 - 16) = 1\nr9 = r2\nnone:\n";
    let end = "r1 = *(u64 *)(r10 - 16)\nif r1 != 1 goto out\n*(u64 *)(r9 + 0) = r7\n";
    with_cells(8, &format!("{start}{}{end}", mask_rungs(n)))
}

fn nested(n: u64) -> String {
    let mut body = each(n, |i| {
        format!(
            "r1 = *(u64 *)(r6 + {})\nif r1 == {} goto e{i}\nr7 += 1\n",
            i % 12 * 8,
            i % 7
        )
    });
    body += "goto join\n";
    for i in (0..n).rev() {
        body += &format!("e{i}:\nr7 += {}\n", 2 + i % 3);
        // One in two leaves the nest, the others fall into the else of the next outer one.
        if i % 2 == 0 {
            body += "goto join\n";
        }
    }
    with_cells(8, &format!("{body}join:\n{STORE}"))
}

/// Numbered as heaps are.
fn tree(depth: u32, at: u64, out: &mut String) {
    if depth == 0 {
        *out += &format!("r7 = {at}\ngoto join\n");
        return;
    }
    *out += &format!("r1 = r8\nr1 &= {}\nif r1 != 0 goto n{at}\n", 1u32 << depth);
    tree(depth - 1, 2 * at, out);
    *out += &format!("n{at}:\n");
    tree(depth - 1, 2 * at + 1, out);
}

fn chain(n: u64) -> String {
    let tests = each(n, |i| format!("if r8 == {i} goto l{i}\n"));
    let blocks = each(n, |i| format!("l{i}:\nr7 = {}\ngoto join\n", i * 3 % 1000));
    with_cells(8, &format!("{tests}goto join\n{blocks}join:\n{STORE}"))
}

/// Finds r8 in `low..high`.
fn halves(low: u64, high: u64, out: &mut String) {
    if high - low == 1 {
        *out += &format!(
            "if r8 != {low} goto join\nr7 = {}\ngoto join\n",
            low * 3 % 1000
        );
        return;
    }
    let middle = low + (high - low) / 2;
    *out += &format!("if r8 >= {middle} goto h{low}_{high}\n");
    halves(low, middle, out);
    *out += &format!("h{low}_{high}:\n");
    halves(middle, high, out);
}
