// Drops every IPv4 fragment but the first, and counts what it drops.
// SPDX-License-Identifier: MIT OR Apache-2.0

.license "Dual MIT/GPL"
.map dropped kind=array key=4 value=8 max_entries=1

.section "hook/packet@1"
.globl fragments
fragments:
	r2 = *(u32 *)(r1 + 4)		// data_end
	r1 = *(u32 *)(r1 + 0)		// data
	r3 = r1
	r3 += 34			// Ethernet and IPv4 without options
	if r3 > r2 goto pass
	r4 = *(u16 *)(r1 + 12)
	if r4 != 0x0008 goto pass	// IPv4, in network order
	r4 = *(u16 *)(r1 + 20)		// flags and fragment offset
	r4 = be16 r4
	r4 &= 0x1fff
	if r4 == 0 goto pass
	*(u32 *)(r10 - 4) = 0
	r1 = map dropped ll
	r2 = r10
	r2 += -4
	call bpf_map_lookup_elem
	if r0 == 0 goto drop
	r1 = 1
	lock *(u64 *)(r0 + 0) += r1
drop:
	r0 = 0
	exit
pass:
	r0 = 1
	exit
