//! Loops over bytes: copies up to NUL, lengths, hashes, and strings packed one after the other.

use super::Longest::{AtMost, Exact};
use super::Scales::Trips;
use super::{Family, HEAD, ONES, TAIL, with_cells};

const BYTES: &[u64] = &[16, 64, 256, 1_024, 4_096];
/// Of copies to the stack.
const STACK: &[u64] = &[16, 64, 256];

pub(super) const FAMILIES: &[Family] = &[
    string(
        "string/copy",
        "from one half of a map value to the other up to NUL, by index",
        BYTES,
        |n| {
            let body = format!(
                "r8 = r9\nr8 += {n}\nr6 = 0\nlap:\nr1 = r9\nr1 += r6\nr2 = *(u8 *)(r1 + 0)\nr3 = r8\nr3 += r6\n\
                *(u8 *)(r3 + 0) = r2\nif r2 == 0 goto out\nr6 += 1\nif r6 != {n} goto lap\n"
            );
            with_cells(2 * n, &body)
        },
        |n| HEAD + 3 + 9 * n + TAIL,
    ),
    string(
        "string/copy-pointers",
        "the same by two pointers beside the counter",
        BYTES,
        |n| {
            let body = format!(
                "r8 = r9\nr8 += {n}\nr6 = 0\nlap:\nr2 = *(u8 *)(r9 + 0)\n*(u8 *)(r8 + 0) = r2\nif r2 == 0 goto out\n\
                r8 += 1\nr9 += 1\nr6 += 1\nif r6 != {n} goto lap\n"
            );
            with_cells(2 * n, &body)
        },
        |n| HEAD + 3 + 7 * n + TAIL,
    ),
    string(
        "string/to-stack",
        "from a map value to the stack",
        STACK,
        |n| {
            let body = format!(
                "r6 = 0\nlap:\nr1 = r9\nr1 += r6\nr2 = *(u8 *)(r1 + 0)\nr3 = r10\nr3 += r6\n*(u8 *)(r3 - 272) = r2\n\
                if r2 == 0 goto out\nr6 += 1\nif r6 != {n} goto lap\n"
            );
            with_cells(n, &body)
        },
        |n| HEAD + 1 + 9 * n + TAIL,
    ),
    Family {
        longest: AtMost(|n| HEAD + 1 + 4 + 9 * n + TAIL),
        ..string(
            "string/from-stack",
            "what a helper read to the stack, to a map value",
            STACK,
            |n| {
                let body = format!(
                    "r6 = 0\nr1 = r10\nr1 += -272\nr2 = {n}\nr3 = r8\ncall bpf_probe_read_kernel\n\
                    lap:\nr1 = r10\nr1 += r6\nr2 = *(u8 *)(r1 - 272)\nr3 = r9\nr3 += r6\n*(u8 *)(r3 + 0) = r2\n\
                    if r2 == 0 goto out\nr6 += 1\nif r6 != {n} goto lap\n"
                );
                with_cells(n, &body)
            },
            |_| 0,
        )
    },
    string(
        "string/length",
        "the length of what is in a map value",
        BYTES,
        |n| {
            let body = format!(
                "r6 = 0\nlap:\nr1 = r9\nr1 += r6\nr1 = *(u8 *)(r1 + 0)\nif r1 == 0 goto out\nr6 += 1\nif r6 != {n} goto lap\n"
            );
            with_cells(n, &body)
        },
        |n| HEAD + 1 + 6 * n + TAIL,
    ),
    string(
        "string/hash",
        "a hash of the bytes up to NUL, in 32 bits",
        BYTES,
        |n| {
            let body = format!(
                "r6 = 0\nlap:\nr1 = *(u8 *)(r9 + 0)\nif r1 == 0 goto done\nw7 ^= w1\nw7 *= 16777619\nr9 += 1\nr6 += 1\n\
                if r6 != {n} goto lap\ndone:\n*(u64 *)(r10 - 16) = r7\n"
            );
            with_cells(n, &body)
        },
        |n| HEAD + 1 + 7 * n + 1 + TAIL,
    ),
    string(
        "string/compare",
        "two strings compared up to where they differ or end",
        BYTES,
        |n| {
            let body = format!(
                "r8 = r9\nr8 += {n}\nr6 = 0\nlap:\nr1 = *(u8 *)(r9 + 0)\nr2 = *(u8 *)(r8 + 0)\nif r1 != r2 goto out\n\
                if r1 == 0 goto out\nr8 += 1\nr9 += 1\nr6 += 1\nif r6 != {n} goto lap\nr7 = 1\n"
            );
            with_cells(2 * n, &body)
        },
        |n| HEAD + 3 + 8 * n + 1 + TAIL,
    ),
    Family {
        longest: AtMost(|n| HEAD + 2 + 11 * n + TAIL),
        ..string(
            "string/packed",
            "n strings of unknown length read one after the other into a map value",
            &[4, 16, 64, 256],
            |n| {
                let body = format!(
                    "r8 = 0\nr5 = 0\n*(u64 *)(r10 - 16) = r5\nlap:\nif r8 > 4032 goto out\nr1 = r9\nr1 += r8\nr2 = 64\nr3 = *(u64 *)(r6 + 0)\n\
                    call bpf_probe_read_kernel_str\nif r0 s< 0 goto out\nif r0 > 64 goto out\nr8 += r0\n\
                    r1 = *(u64 *)(r10 - 16)\nr1 += 1\n*(u64 *)(r10 - 16) = r1\nif r1 != {n} goto lap\n"
                );
                with_cells(4096, &body)
            },
            |_| 0,
        )
    },
    Family {
        longest: AtMost(|n| HEAD + 2 + 11 * n + TAIL),
        ..string(
            "string/packed-32",
            "the same with lengths in 32 bits, as strobemeta has it",
            &[4, 16, 64, 256],
            |n| {
                let body = format!(
                    "w8 = 0\n*(u64 *)(r10 - 16) = 0\nlap:\nif w8 > 4032 goto out\nr1 = r9\nr1 += r8\nr2 = 64\nr3 = *(u64 *)(r6 + 0)\n\
                    call bpf_probe_read_kernel_str\nif w0 > 64 goto out\nw8 += w0\n\
                    r1 = *(u64 *)(r10 - 16)\nr1 += 1\n*(u64 *)(r10 - 16) = r1\nif r1 != {n} goto lap\n"
                );
                with_cells(4096, &body)
            },
            |_| 0,
        )
    },
];

const fn string(
    name: &'static str,
    what: &'static str,
    sizes: &'static [u64],
    text: fn(u64) -> String,
    longest: fn(u64) -> u64,
) -> Family {
    Family {
        name,
        what,
        scales: Trips,
        sizes,
        text,
        input: ONES,
        fill: b'a',
        longest: Exact(longest),
    }
}
