//! Packets taken apart: header after header, with bounds checked for each.

use super::Longest::Exact;
use super::Scales::{Size, Trips};
use super::{Family, Input, Longest, Scales, each};

pub(super) const FAMILIES: &[Family] = &[
    packet(
        "packet/headers",
        "n headers of 4 bytes",
        Size,
        &[10, 100, 1_000, 4_000],
        |n| {
            let one = |_| {
                "r2 = r7\nr2 += 4\nif r2 > r8 goto out\nr3 = *(u16 *)(r7 + 0)\nr6 += r3\nr7 += 4\n"
                    .into()
            };
            xdp(&each(n, one))
        },
        |n| vec![1; 4 * n as usize],
        Exact(|n| 3 + 6 * n + 2),
    ),
    packet(
        "packet/lengths",
        "n headers whose lengths stand in them",
        Size,
        &[10, 100, 1_000],
        |n| xdp(&each(n, |_| VARIABLE.into())),
        |n| vec![1; 4 * n as usize],
        Exact(|n| 3 + 7 * n + 2),
    ),
    packet(
        "packet/kinds",
        "n headers, each of one of two kinds with a length of its own",
        Size,
        &[10, 100, 1_000, 2_000],
        |n| {
            let one = |i| {
                format!(
                    "r2 = r7\nr2 += 8\nif r2 > r8 goto out\nr3 = *(u8 *)(r7 + 0)\nif r3 == 1 goto l{i}\nr7 += 4\nl{i}:\nr7 += 4\n"
                )
            };
            xdp(&each(n, one))
        },
        |n| vec![2; 8 * n as usize],
        Exact(|n| 3 + 7 * n + 2),
    ),
    packet(
        "packet/tags",
        "a loop over at most n VLAN tags",
        Trips,
        &[4, 16, 256, 4_096],
        |n| {
            xdp(&format!(
                "r5 = 0\nlap:\nr2 = r7\nr2 += 4\nif r2 > r8 goto out\nr3 = *(u16 *)(r7 + 0)\nif r3 != 129 goto out\nr7 += 4\n\
                r5 += 1\nif r5 != {n} goto lap\n"
            ))
        },
        |n| [129, 0, 0, 0].repeat(n as usize),
        Exact(|n| 3 + 1 + 8 * n + 2),
    ),
    packet(
        "packet/options",
        "a loop over at most n headers whose lengths stand in them",
        Trips,
        &[4, 16, 128, 1_024],
        |n| {
            xdp(&format!(
                "r5 = 0\nlap:\n{VARIABLE}r5 += 1\nif r5 != {n} goto lap\n"
            ))
        },
        |n| vec![1; 4 * n as usize],
        Exact(|n| 3 + 1 + 9 * n + 2),
    ),
    packet(
        "packet/checksum",
        "a sum over at most n words, each checked against the packet's end",
        Trips,
        &[4, 16, 256, 4_096],
        |n| {
            xdp(&format!(
                "r5 = 0\nlap:\nr2 = r7\nr2 += 2\nif r2 > r8 goto out\nr3 = *(u16 *)(r7 + 0)\nr6 += r3\nr7 = r2\n\
                r5 += 1\nif r5 != {n} goto lap\n"
            ))
        },
        |n| vec![1; 2 * n as usize],
        Exact(|n| 3 + 1 + 8 * n + 2),
    ),
];

/// A header of 4 to 60 bytes; with ones in the packet, of 4.
const VARIABLE: &str =
    "r2 = r7\nr2 += 4\nif r2 > r8 goto out\nr3 = *(u8 *)(r7 + 0)\nr3 &= 15\nr3 <<= 2\nr7 += r3\n";

const fn packet(
    name: &'static str,
    what: &'static str,
    scales: Scales,
    sizes: &'static [u64],
    text: fn(u64) -> String,
    bytes: fn(u64) -> Vec<u8>,
    longest: Longest,
) -> Family {
    Family {
        name,
        what,
        scales,
        sizes,
        text,
        input: Input::Packet(bytes),
        fill: 0,
        longest,
    }
}

/// The packet from r7 to r8; r6 is a number.
fn xdp(body: &str) -> String {
    format!(
        ".license \"GPL\"\n.section xdp\n.globl main\nmain:\nr7 = *(u32 *)(r1 + 0)\nr8 = *(u32 *)(r1 + 4)\nr6 = 0\n\
        {body}out:\nr0 = 2\nexit\n"
    )
}
