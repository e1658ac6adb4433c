//! Loops by counters in the forms that clang gives them, nests of loops, and loops whose body branches on something new.

use super::Longest::{AtMost, Exact};
use super::Scales::Trips;
use super::{Family, HEAD, Input, ONES, TAIL, program, with_cells};

const TRIPS: &[u64] = &[10, 1_000, 100_000, 10_000_000, 100_000_000];
/// Of loops over a map value of 8 bytes a lap.
const WORDS: &[u64] = &[10, 1_000, 100_000, 1_000_000];
const FRESH: &[u64] = &[10, 1_000, 100_000, 1_000_000];

/// A loop over numbers: `start`, then laps of `lap` that ends in a jump back to `lap`.
const fn counter(
    name: &'static str,
    what: &'static str,
    text: fn(u64) -> String,
    longest: fn(u64) -> u64,
) -> Family {
    Family {
        name,
        what,
        scales: Trips,
        sizes: TRIPS,
        text,
        input: ONES,
        fill: 1,
        longest: Exact(longest),
    }
}

const fn over(family: Family, sizes: &'static [u64]) -> Family {
    Family { sizes, ..family }
}

const fn given(family: Family, input: fn(u64) -> u64) -> Family {
    Family {
        input: Input::Words(input),
        ..family
    }
}

pub(super) const FAMILIES: &[Family] = &[
    counter(
        "loop/ne",
        "i += 1; i != n",
        |n| numbers("r6 = 0", &format!("r6 += 1\nif r6 != {n} goto lap")),
        |n| 6 + 3 * n,
    ),
    counter(
        "loop/lt",
        "i += 1; i < n",
        |n| numbers("r6 = 0", &format!("r6 += 1\nif r6 < {n} goto lap")),
        |n| 6 + 3 * n,
    ),
    counter(
        "loop/le-signed",
        "i += 1; i s<= n - 1",
        |n| numbers("r6 = 0", &format!("r6 += 1\nif r6 s<= {} goto lap", n - 1)),
        |n| 6 + 3 * n,
    ),
    counter(
        "loop/head",
        "the test at the head, an unconditional jump back",
        |n| {
            program(&format!(
                "r8 = *(u64 *)(r1 + 0)\nr7 = 0\nr6 = 0\nlap:\nif r6 >= {n} goto out\nr7 += r8\nr6 += 1\ngoto lap\n\
                out:\n*(u64 *)(r10 - 8) = r7\nr0 = 0\nexit\n"
            ))
        },
        |n| 7 + 4 * n,
    ),
    counter(
        "loop/down",
        "i from n down to 0",
        |n| numbers(&format!("r6 = {n}"), "r6 += -1\nif r6 != 0 goto lap"),
        |n| 6 + 3 * n,
    ),
    counter(
        "loop/down-signed",
        "i from n - 1 down while i s> -1",
        |n| numbers(&format!("r6 = {}", n - 1), "r6 += -1\nif r6 s> -1 goto lap"),
        |n| 6 + 3 * n,
    ),
    counter(
        "loop/32",
        "a counter of 32 bits",
        |n| numbers("w6 = 0", &format!("w6 += 1\nif w6 != {n} goto lap")),
        |n| 6 + 3 * n,
    ),
    counter(
        "loop/32-less",
        "a counter of 32 bits, signed, below n",
        |n| numbers("w6 = 0", &format!("w6 += 1\nif w6 s< {n} goto lap")),
        |n| 6 + 3 * n,
    ),
    counter(
        "loop/zero-extended",
        "the test on a zero-extended copy",
        |n| {
            let turn = format!("r6 += 1\nr1 = r6\nr1 <<= 32\nr1 >>= 32\nif r1 != {n} goto lap");
            numbers("r6 = 0", &turn)
        },
        |n| 6 + 6 * n,
    ),
    counter(
        "loop/sign-extended",
        "the test on a sign-extended copy",
        |n| {
            let turn = format!("r6 += 1\nr1 = r6\nr1 <<= 32\nr1 s>>= 32\nif r1 s< {n} goto lap");
            numbers("r6 = 0", &turn)
        },
        |n| 6 + 6 * n,
    ),
    counter(
        "loop/copied",
        "the test on a copy of 32 bits of a counter that is added before",
        |n| {
            let turn = format!("w1 = w6\nr6 += 1\nif w1 < {} goto lap", n - 1);
            numbers("r6 = 0", &turn)
        },
        |n| 6 + 4 * n,
    ),
    counter(
        "loop/step-2",
        "i += 2; i != 2n",
        |n| step(n, 2),
        |n| 6 + 3 * n,
    ),
    counter(
        "loop/step-3",
        "i += 3; i != 3n",
        |n| step(n, 3),
        |n| 6 + 3 * n,
    ),
    counter(
        "loop/step-4",
        "i += 4; i != 4n",
        |n| step(n, 4),
        |n| 6 + 3 * n,
    ),
    counter(
        "loop/step-8",
        "i += 8; i != 8n",
        |n| step(n, 8),
        |n| 6 + 3 * n,
    ),
    counter(
        "loop/step-less",
        "i += 7; i < n, which 7 need not divide",
        |n| numbers("r6 = 0", &format!("r6 += 7\nif r6 < {n} goto lap")),
        |n| 6 + 3 * n.div_ceil(7),
    ),
    counter(
        "loop/register",
        "the bound in a register",
        |n| numbers(&format!("r9 = {n}\nr6 = 0"), "r6 += 1\nif r6 < r9 goto lap"),
        |n| 7 + 3 * n,
    ),
    counter(
        "loop/slot",
        "the counter in a stack slot",
        |n| {
            let turn = format!(
                "r1 = *(u64 *)(r10 - 16)\nr1 += 1\n*(u64 *)(r10 - 16) = r1\nif r1 != {n} goto lap"
            );
            numbers("*(u64 *)(r10 - 16) = 0", &turn)
        },
        |n| 6 + 5 * n,
    ),
    counter(
        "loop/slot-32",
        "the counter in half a stack slot, as unoptimised code has it",
        |n| {
            let turn = format!(
                "w1 = *(u32 *)(r10 - 16)\nw1 += 1\n*(u32 *)(r10 - 16) = r1\nw1 = *(u32 *)(r10 - 16)\nif w1 < {n} goto lap"
            );
            numbers("*(u32 *)(r10 - 16) = 0", &turn)
        },
        |n| 6 + 6 * n,
    ),
    counter(
        "loop/break",
        "a way out in the middle of the body",
        |n| {
            program(&format!(
                "r9 = r1\nr8 = *(u64 *)(r1 + 0)\nr7 = 0\nr6 = 0\nlap:\nr1 = *(u64 *)(r9 + 8)\nif r1 == 7 goto out\n\
                r7 += r8\nr6 += 1\nif r6 != {n} goto lap\nout:\n*(u64 *)(r10 - 8) = r7\nr0 = 0\nexit\n"
            ))
        },
        |n| 7 + 5 * n,
    ),
    counter(
        "loop/two",
        "one counter up, one down; the one that goes down ends it",
        |n| {
            let turn = "r6 += 1\nr9 += -1\nif r9 != 0 goto lap";
            numbers(&format!("r6 = 0\nr9 = {n}"), turn)
        },
        |n| 7 + 4 * n,
    ),
    over(
        counter(
            "loop/pointer",
            "a pointer over a map value, p += 8, beside the counter; i != n",
            |n| {
                let body = format!(
                    "r6 = 0\nlap:\nr1 = *(u64 *)(r9 + 0)\nr7 += r1\nr9 += 8\nr6 += 1\nif r6 != {n} goto lap\n"
                );
                with_cells(8 * n, &body)
            },
            |n| HEAD + 1 + 5 * n + TAIL,
        ),
        WORDS,
    ),
    over(
        counter(
            "loop/offset",
            "the counter is a byte offset into a map value",
            |n| {
                let body = format!(
                    "r6 = 0\nlap:\nr1 = r9\nr1 += r6\nr1 = *(u64 *)(r1 + 0)\nr7 += r1\nr6 += 8\nif r6 != {} goto lap\n",
                    8 * n
                );
                with_cells(8 * n, &body)
            },
            |n| HEAD + 1 + 6 * n + TAIL,
        ),
        WORDS,
    ),
    over(
        counter(
            "loop/index",
            "the counter, shifted, indexes a map value",
            |n| {
                let body = format!(
                    "r6 = 0\nlap:\nr2 = r6\nr2 <<= 3\nr1 = r9\nr1 += r2\nr1 = *(u64 *)(r1 + 0)\nr7 += r1\nr6 += 1\nif r6 < {n} goto lap\n"
                );
                with_cells(8 * n, &body)
            },
            |n| HEAD + 1 + 8 * n + TAIL,
        ),
        WORDS,
    ),
    over(
        counter(
            "loop/index-down",
            "an index that goes down, beside a counter that goes up and ends the loop",
            |n| {
                let body = format!(
                    "r6 = 0\nr8 = {}\nlap:\nr1 = r9\nr1 += r8\nr1 = *(u8 *)(r1 + 0)\nr7 += r1\nr8 += -1\nr6 += 1\nif r6 != {n} goto lap\n",
                    n - 1
                );
                with_cells(n, &body)
            },
            |n| HEAD + 2 + 7 * n + TAIL,
        ),
        WORDS,
    ),
    over(
        given(
            counter(
                "bound/mask",
                "as many laps as an unknown number has in its low bits",
                |n| bounded(&format!("r9 &= {}", n - 1)),
                |n| 9 + 3 * (n - 1),
            ),
            |_| u64::MAX,
        ),
        &[16, 256, 4_096, 65_536, 1 << 20],
    ),
    over(
        given(
            counter(
                "bound/check",
                "as many laps as an unknown number that was compared with n says",
                |n| bounded(&format!("if r9 > {n} goto out")),
                |n| 9 + 3 * n,
            ),
            |n| n,
        ),
        &[10, 1_000, 100_000, 10_000_000],
    ),
    over(
        given(
            counter(
                "bound/both",
                "a constant bound, and a way out where an unknown number is reached",
                |n| {
                    program(&format!(
                        "r9 = *(u64 *)(r1 + 0)\nr8 = *(u64 *)(r1 + 8)\nr7 = 0\nr6 = 0\nlap:\nif r6 >= r9 goto out\n\
                        r7 += r8\nr6 += 1\nif r6 != {n} goto lap\nout:\n*(u64 *)(r10 - 8) = r7\nr0 = 0\nexit\n"
                    ))
                },
                |n| 7 + 4 * n,
            ),
            |_| u64::MAX,
        ),
        &[10, 1_000, 100_000, 10_000_000],
    ),
];

pub(super) const NESTS: &[Family] = &[
    over(
        counter(
            "nest/2",
            "n by n",
            |n| {
                program(&format!(
                    "r8 = *(u64 *)(r1 + 0)\nr7 = 0\nr6 = 0\nouter:\nr9 = 0\nlap:\nr7 += r8\nr9 += 1\nif r9 != {n} goto lap\n\
                    r6 += 1\nif r6 != {n} goto outer\n*(u64 *)(r10 - 8) = r7\nr0 = 0\nexit\n"
                ))
            },
            |n| 6 + n * (3 + 3 * n),
        ),
        &[10, 100, 1_000],
    ),
    over(
        counter(
            "nest/3",
            "n by n by n",
            |n| {
                program(&format!(
                    "r8 = *(u64 *)(r1 + 0)\nr7 = 0\nr6 = 0\nouter:\nr9 = 0\nmiddle:\nr5 = 0\nlap:\nr7 += r8\nr5 += 1\n\
                    if r5 != {n} goto lap\nr9 += 1\nif r9 != {n} goto middle\nr6 += 1\nif r6 != {n} goto outer\n\
                    *(u64 *)(r10 - 8) = r7\nr0 = 0\nexit\n"
                ))
            },
            |n| 6 + n * (3 + n * (3 + 3 * n)),
        ),
        &[10, 32, 100],
    ),
    over(
        counter(
            "nest/triangle",
            "the inner loop runs as often as the outer counter says",
            |n| {
                program(&format!(
                    "r8 = *(u64 *)(r1 + 0)\nr7 = 0\nr6 = 1\nouter:\nr9 = 0\nlap:\nr7 += r8\nr9 += 1\nif r9 < r6 goto lap\n\
                    r6 += 1\nif r6 != {} goto outer\n*(u64 *)(r10 - 8) = r7\nr0 = 0\nexit\n",
                    n + 1
                ))
            },
            |n| 6 + 3 * n + 3 * n * (n + 1) / 2,
        ),
        &[10, 100, 1_000],
    ),
    over(
        counter(
            "nest/matrix",
            "n rows of n bytes of a map value, the row's pointer beside both counters",
            |n| {
                let body = format!(
                    "r6 = 0\nouter:\nr8 = r9\nr5 = 0\nlap:\nr1 = *(u8 *)(r8 + 0)\nr7 += r1\nr8 += 1\nr5 += 1\nif r5 != {n} goto lap\n\
                    r9 += {n}\nr6 += 1\nif r6 != {n} goto outer\n"
                );
                with_cells(n * n, &body)
            },
            |n| HEAD + 1 + n * (5 + 5 * n) + TAIL,
        ),
        &[10, 100, 1_000],
    ),
    over(
        counter(
            "nest/spilled",
            "the outer counter in a stack slot, a call in between",
            |n| {
                program(&format!(
                    "r8 = *(u64 *)(r1 + 0)\nr7 = 0\n*(u64 *)(r10 - 16) = 0\nouter:\nr9 = 0\nlap:\nr7 += r8\nr9 += 1\nif r9 != {n} goto lap\n\
                    call bpf_ktime_get_ns\nr1 = *(u64 *)(r10 - 16)\nr1 += 1\n*(u64 *)(r10 - 16) = r1\nif r1 != {n} goto outer\n\
                    *(u64 *)(r10 - 8) = r7\nr0 = 0\nexit\n"
                ))
            },
            |n| 6 + n * (6 + 3 * n),
        ),
        &[10, 100, 1_000],
    ),
];

pub(super) const FORKS: &[Family] = &[
    over(
        counter(
            "fork/context",
            "each lap loads a number and adds it if it is not 0",
            |n| {
                program(&format!(
                    "r9 = r1\nr7 = 0\nr6 = 0\nlap:\nr1 = *(u64 *)(r9 + 0)\nif r1 == 0 goto on\nr7 += r1\non:\nr6 += 1\n\
                    if r6 != {n} goto lap\n*(u64 *)(r10 - 8) = r7\nr0 = 0\nexit\n"
                ))
            },
            |n| 6 + 5 * n,
        ),
        FRESH,
    ),
    over(
        counter(
            "fork/map",
            "the number comes from a map value at the counter's offset",
            |n| {
                let body = format!(
                    "r6 = 0\nlap:\nr1 = r9\nr1 += r6\nr1 = *(u8 *)(r1 + 0)\nif r1 == 0 goto on\nr7 += 1\non:\nr6 += 1\nif r6 != {n} goto lap\n"
                );
                with_cells(n, &body)
            },
            |n| HEAD + 1 + 7 * n + TAIL,
        ),
        FRESH,
    ),
    over(
        Family {
            longest: AtMost(|n| 5 + 5 * n),
            ..counter(
                "fork/helper",
                "the number is what a helper gave",
                |n| {
                    program(&format!(
                        "r7 = 0\nr6 = 0\nlap:\ncall bpf_get_prandom_u32\nif r0 > 1000 goto on\nr7 += r0\non:\nr6 += 1\n\
                        if r6 != {n} goto lap\n*(u64 *)(r10 - 8) = r7\nr0 = 0\nexit\n"
                    ))
                },
                |_| 0,
            )
        },
        FRESH,
    ),
    over(
        counter(
            "fork/count",
            "what is counted is used as an offset afterwards",
            |n| {
                let body = format!(
                    "r8 = 0\nr5 = 0\nlap:\nr1 = *(u64 *)(r6 + 0)\nif r1 == 0 goto on\nr7 += 1\non:\nr5 += 1\nif r5 != {n} goto lap\n\
                    r9 += r7\nr0 = *(u8 *)(r9 + 0)\n"
                );
                with_cells(n + 1, &body)
            },
            |n| HEAD + 2 + 5 * n + 2 + TAIL,
        ),
        FRESH,
    ),
    over(
        counter(
            "fork/states",
            "a machine of three states that what is loaded drives",
            |n| {
                program(&format!(
                    "r9 = r1\nr7 = 0\nr6 = 0\nlap:\nr1 = *(u8 *)(r9 + 0)\nif r7 == 0 goto zero\nif r7 == 1 goto one\nr7 = 0\ngoto on\n\
                    zero:\nif r1 == 0 goto on\nr7 = 1\ngoto on\none:\nif r1 == 0 goto on\nr7 = 2\non:\nr6 += 1\nif r6 != {n} goto lap\n\
                    *(u64 *)(r10 - 8) = r7\nr0 = 0\nexit\n"
                ))
            },
            |n| 6 + 7 * n,
        ),
        FRESH,
    ),
    over(
        counter(
            "fork/eight",
            "eight independent branches in a lap",
            |n| {
                let branches = super::each(8, |i| {
                    format!(
                        "r1 = r8\nr1 &= {}\nif r1 == 0 goto b{i}\nr7 += {i}\nb{i}:\n",
                        1 << i
                    )
                });
                program(&format!(
                    "r9 = r1\nr7 = 0\nr6 = 0\nlap:\nr8 = *(u64 *)(r9 + 0)\n{branches}r6 += 1\nif r6 != {n} goto lap\n\
                    *(u64 *)(r10 - 8) = r7\nr0 = 0\nexit\n"
                ))
            },
            |n| 6 + 35 * n,
        ),
        FRESH,
    ),
];

/// r7 gathers an unknown number for `turn`, which ends in the jump to `lap`.
fn numbers(start: &str, turn: &str) -> String {
    program(&format!(
        "r8 = *(u64 *)(r1 + 0)\nr7 = 0\n{start}\nlap:\nr7 += r8\n{turn}\n*(u64 *)(r10 - 8) = r7\nr0 = 0\nexit\n"
    ))
}

fn step(n: u64, by: u64) -> String {
    numbers(
        "r6 = 0",
        &format!("r6 += {by}\nif r6 != {} goto lap", n * by),
    )
}

fn bounded(bound: &str) -> String {
    program(&format!(
        "r9 = *(u64 *)(r1 + 0)\n{bound}\nr8 = *(u64 *)(r1 + 8)\nr7 = 0\nr6 = 0\nif r9 == 0 goto out\n\
        lap:\nr7 += r8\nr6 += 1\nif r6 < r9 goto lap\n*(u64 *)(r10 - 8) = r7\nout:\nr0 = 0\nexit\n"
    ))
}
