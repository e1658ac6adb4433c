// Refuses targets of more than 1,024 bytes with 414, and methods that the gateway does not know with 501.
// SPDX-License-Identifier: MIT OR Apache-2.0
.license "Dual MIT/GPL"
.section "hook/request@1"
.globl long_targets
long_targets:
    r2 = *(u32 *)(r1 + 0)        // the target's first byte
    r3 = *(u32 *)(r1 + 4)        // one past its last
    w4 = *(u8 *)(r1 + 26)        // the method
    if w4 == 0 goto unknown
    r2 += 1024
    if r2 < r3 goto long
    r0 = 0
    exit
long:
    w5 = 414
    *(u16 *)(r1 + 28) = w5
    r0 = 1
    exit
unknown:
    w5 = 501
    *(u16 *)(r1 + 28) = w5
    r0 = 1
    exit
