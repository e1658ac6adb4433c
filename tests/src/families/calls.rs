//! Subprograms, callbacks, iterators and `may_goto`.

use super::Longest::{AtMost, Exact};
use super::Scales::{Size, Trips};
use super::{Family, HEAD, LENGTHS, Longest, ONES, Scales, TAIL, each, program, with_cells};

const LAPS: &[u64] = &[10, 1_000, 100_000, 1_000_000];

pub(super) const FAMILIES: &[Family] = &[
    call(
        "call/repeated",
        "n calls of one subprogram with unknown arguments, each with a branch inside",
        Size,
        LENGTHS,
        |n| {
            let calls = each(n, |i| {
                format!("r1 = *(u64 *)(r6 + {})\ncall sub\nr7 += r0\n", i % 12 * 8)
            });
            let body = format!("r6 = r1\nr7 = 0\n{calls}*(u64 *)(r10 - 8) = r7\nr0 = 0\nexit\n");
            program(&format!(
                "{body}sub:\nr0 = 1\nif r1 == 0 goto l\nr0 = 2\nl:\nexit\n"
            ))
        },
        Exact(|n| 2 + 7 * n + 3),
    ),
    call(
        "call/constants",
        "n calls of one subprogram, each with another constant",
        Size,
        LENGTHS,
        |n| {
            let calls = each(n, |i| format!("r1 = {}\ncall sub\nr7 += r0\n", i + 1));
            let body = format!("r6 = r1\nr7 = 0\n{calls}*(u64 *)(r10 - 8) = r7\nr0 = 0\nexit\n");
            program(&format!("{body}sub:\nr0 = r1\nr0 *= 3\nexit\n"))
        },
        Exact(|n| 2 + 6 * n + 3),
    ),
    call(
        "call/chain",
        "subprograms that call each other, n deep",
        Size,
        &[1, 2, 3, 4, 5, 6, 7],
        |n| {
            let one = |i: u64| match i + 1 == n {
                true => format!("f{i}:\nr0 = r1\nexit\n"),
                false => format!("f{i}:\nr1 += 1\ncall f{}\nr0 += 1\nexit\n", i + 1),
            };
            let main = "r1 = *(u64 *)(r1 + 0)\ncall f0\nr0 = 0\nexit\n";
            program(&format!("{main}{}", each(n, one)))
        },
        Exact(|n| 4 + 4 * (n - 1) + 2),
    ),
    call(
        "call/tree",
        "each of n levels calls the next one twice",
        Size,
        &[1, 2, 3, 4, 5, 6, 7],
        |n| {
            let one = |i: u64| match i + 1 == n {
                true => format!("f{i}:\nr0 = r1\nif r1 == 7 goto l\nr0 = 1\nl:\nexit\n"),
                false => format!(
                    "f{i}:\nr6 = r1\ncall f{0}\nr7 = r0\nr1 = r6\ncall f{0}\nr0 += r7\nexit\n",
                    i + 1
                ),
            };
            let main = "r1 = *(u64 *)(r1 + 0)\ncall f0\nr0 = 0\nexit\n";
            program(&format!("{main}{}", each(n, one)))
        },
        Exact(|n| 4 + 7 * ((1 << (n - 1)) - 1) + 4 * (1 << (n - 1))),
    ),
    call(
        "call/loop",
        "a subprogram called in each lap of a loop",
        Trips,
        LAPS,
        |n| {
            program(&format!(
                "r8 = *(u64 *)(r1 + 0)\nr7 = 0\nr6 = 0\nlap:\nr1 = r8\ncall sub\nr7 += r0\nr6 += 1\nif r6 != {n} goto lap\n\
                *(u64 *)(r10 - 8) = r7\nr0 = 0\nexit\nsub:\nr0 = r1\nr0 >>= 3\nexit\n"
            ))
        },
        Exact(|n| 6 + 8 * n),
    ),
    call(
        "call/loop-fork",
        "a subprogram with a branch on something new, called in each lap of a loop",
        Trips,
        LAPS,
        |n| {
            program(&format!(
                "r8 = r1\nr7 = 0\nr6 = 0\nlap:\nr1 = *(u64 *)(r8 + 0)\ncall sub\nr7 += r0\nr6 += 1\nif r6 != {n} goto lap\n\
                *(u64 *)(r10 - 8) = r7\nr0 = 0\nexit\nsub:\nr0 = 1\nif r1 == 0 goto l\nr0 = 2\nl:\nexit\n"
            ))
        },
        Exact(|n| 6 + 9 * n),
    ),
    call(
        "call/loop-inside",
        "the loop is in the subprogram, its bound a constant argument",
        Trips,
        LAPS,
        |n| {
            program(&format!(
                "r1 = {n}\ncall sub\nr0 = 0\nexit\nsub:\nr0 = 0\nr2 = 0\nlap:\nr0 += 3\nr2 += 1\nif r2 < r1 goto lap\nexit\n"
            ))
        },
        Exact(|n| 4 + 2 + 3 * n + 1),
    ),
    call(
        "callback/loop",
        "bpf_loop n times",
        Trips,
        LAPS,
        |n| loop_helper(n, "r1 = *(u64 *)(r2 + 0)\nr1 += 1\n*(u64 *)(r2 + 0) = r1\n"),
        Exact(|n| 9 + 5 * n),
    ),
    call(
        "callback/fork",
        "bpf_loop n times with a branch on something new",
        Trips,
        LAPS,
        |n| {
            loop_helper(
                n,
                "r6 = r2\ncall bpf_get_prandom_u32\nif r0 > 1000 goto on\nr1 = *(u64 *)(r6 + 0)\nr1 += 1\n*(u64 *)(r6 + 0) = r1\non:\n",
            )
        },
        AtMost(|n| 9 + 8 * n),
    ),
    call(
        "callback/each",
        "a callback for each of n elements of a map",
        Trips,
        &[10, 1_000, 100_000],
        |n| {
            format!(
                ".license \"GPL\"\n.map cells kind=array key=4 value=8 max_entries={n}\n.section raw_tracepoint\n.globl main\nmain:\n\
                *(u64 *)(r10 - 8) = 0\nr1 = map cells ll\nr2 = visit ll\nr3 = r10\nr3 += -8\nr4 = 0\n\
                call bpf_for_each_map_elem\nr0 = 0\nexit\n\
                .section .text\nvisit:\nr1 = *(u64 *)(r3 + 0)\nr2 = *(u64 *)(r4 + 0)\nr2 += r1\n*(u64 *)(r4 + 0) = r2\nr0 = 0\nexit\n"
            )
        },
        Exact(|n| 9 + 6 * n),
    ),
    call(
        "iterator/num",
        "an open-coded iterator over n numbers",
        Trips,
        LAPS,
        |n| iterator(n, "r1 = *(u32 *)(r0 + 0)\nr6 += r1\n"),
        Exact(|n| 8 + 7 * n + 4 + 5),
    ),
    call(
        "iterator/fork",
        "the same with a branch on something new in each lap",
        Trips,
        LAPS,
        |n| iterator(n, "r1 = *(u64 *)(r9 + 0)\nif r1 == 7 goto lap\nr6 += r1\n"),
        Exact(|n| 8 + 8 * n + 4 + 5),
    ),
    call(
        "iterator/index",
        "what the iterator gives, checked, indexes a map value",
        Trips,
        LAPS,
        |n| {
            let body = format!(
                "r1 = r10\nr1 += -16\nr2 = 0\nr3 = {n}\nkfunc bpf_iter_num_new\nlap:\nr1 = r10\nr1 += -16\nkfunc bpf_iter_num_next\n\
                if r0 == 0 goto done\nr1 = *(u32 *)(r0 + 0)\nif r1 >= {n} goto lap\nr2 = r9\nr2 += r1\nr2 = *(u8 *)(r2 + 0)\nr7 += r2\n\
                goto lap\ndone:\nr1 = r10\nr1 += -16\nkfunc bpf_iter_num_destroy\n"
            );
            with_cells(n, &body)
        },
        Exact(|n| HEAD + 5 + 11 * n + 4 + 3 + TAIL),
    ),
    call(
        "may_goto/count",
        "a loop of n laps, each with a may_goto",
        Trips,
        LAPS,
        |n| {
            program(&format!(
                "r8 = *(u64 *)(r1 + 0)\nr7 = 0\nr6 = 0\nlap:\nmay_goto out\nr7 += r8\nr6 += 1\nif r6 < {n} goto lap\n\
                out:\n*(u64 *)(r10 - 8) = r7\nr0 = 0\nexit\n"
            ))
        },
        Exact(|n| 6 + 4 * n),
    ),
    call(
        "may_goto/unknown",
        "as many laps as an unknown number says, and may_goto grants",
        Trips,
        LAPS,
        |n| {
            program(&format!(
                "r9 = r1\nr7 = 0\nr6 = 0\nlap:\nmay_goto out\nr1 = *(u64 *)(r9 + 0)\nif r1 == 0 goto out\nr7 += r1\nr6 += 1\n\
                if r6 != {n} goto lap\nout:\n*(u64 *)(r10 - 8) = r7\nr0 = 0\nexit\n"
            ))
        },
        Exact(|n| 6 + 6 * n),
    ),
];

const fn call(
    name: &'static str,
    what: &'static str,
    scales: Scales,
    sizes: &'static [u64],
    text: fn(u64) -> String,
    longest: Longest,
) -> Family {
    Family {
        name,
        what,
        scales,
        sizes,
        text,
        input: ONES,
        fill: 1,
        longest,
    }
}

fn loop_helper(n: u64, body: &str) -> String {
    program(&format!(
        "*(u64 *)(r10 - 8) = 0\nr1 = {n}\nr2 = turn ll\nr3 = r10\nr3 += -8\nr4 = 0\ncall bpf_loop\nr0 = 0\nexit\n\
        .section .text\nturn:\n{body}r0 = 0\nexit\n"
    ))
}

fn iterator(n: u64, body: &str) -> String {
    program(&format!(
        "r9 = r1\nr6 = 0\nr1 = r10\nr1 += -8\nr2 = 0\nr3 = {n}\nkfunc bpf_iter_num_new\n\
        lap:\nr1 = r10\nr1 += -8\nkfunc bpf_iter_num_next\nif r0 == 0 goto out\n{body}goto lap\n\
        out:\nr1 = r10\nr1 += -8\nkfunc bpf_iter_num_destroy\n*(u64 *)(r10 - 16) = r6\nr0 = 0\nexit\n"
    ))
}
