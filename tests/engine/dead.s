# A register that holds the frame's address on one way, and that nobody reads behind where ways meet; and an access to a
# map's value or the packet, which may not be the frame.
# run packet=0102030405060708 = 0x108
# run packet=0002030405060708 = 0x407
.map h kind=hash key=8 value=8 max_entries=8
.section xdp
.globl main
main:
	r6 = *(u32 *)(r1 + 0)
	r7 = *(u32 *)(r1 + 4)
	r2 = r6
	r2 += 8
	if r2 > r7 goto out
	r8 = *(u8 *)(r6 + 0)
	*(u64 *)(r10 - 24) = r8
	r3 = 7
	if r8 == 0 goto plain
	*(u64 *)(r10 - 8) = 1
	r3 = r10
	r3 += -8
	*(u64 *)(r10 - 16) = 0x101
	r1 = map h ll
	r2 = r3
	r3 = r10
	r3 += -16
	r4 = 0
	call bpf_map_update_elem
	*(u64 *)(r10 - 8) = 1
	r1 = map h ll
	r2 = r10
	r2 += -8
	call bpf_map_lookup_elem
	if r0 == 0 goto out
	r9 = r0
	r3 = r10
	r3 += -8
	goto both
plain:
	r9 = r6
	r9 += 3
both:
	r0 = *(u8 *)(r9 + 0)
	r1 = *(u8 *)(r9 + 1)
	*(u8 *)(r9 + 1) = r0
	r2 = *(u64 *)(r10 - 24)
	r0 += r2
	if r8 != 0 goto map
	r1 = 0x403
	r0 += r1
	r0 += -4
	r0 += 4
	exit
map:
	r1 <<= 8
	r0 += r1
	r0 += 6
	exit
out:
	r0 = 0
	exit
