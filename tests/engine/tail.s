# Tail calls: by a constant index and by one that is not, from subprograms, in a loop, past what there is.
# slot jumps 0 count
# slot jumps 2 leaf
# run packet=0000000000000000 = 33
# run packet=0100000000000000 = 0x7
# run packet=0200000000000000 = 0x50
# run packet=0300000000000000 = 0x7
# run packet=0400000000000000 = 0x7
# run packet=ffffffffffffffff = 0x7
# run packet=0200000001000000 = 0x50
# run packet= = 5
.map jumps kind=prog_array key=4 value=4 max_entries=4
.map counts kind=array key=4 value=8 max_entries=1
.section xdp
.globl main
main:
	r6 = r1
	r2 = *(u32 *)(r1 + 4)
	r3 = *(u32 *)(r1 + 0)
	r4 = r3
	r4 += 8
	if r4 > r2 goto out
	r7 = *(u64 *)(r3 + 0)
	r1 = r6
	r2 = map jumps ll
	r3 = r7
	call bpf_tail_call
	r0 = 7
	exit
out:
	r0 = 5
	exit
.section xdp.frags
.globl count
count:
	r6 = r1
	*(u32 *)(r10 - 4) = 0
	r2 = r10
	r2 += -4
	r1 = map counts ll
	call bpf_map_lookup_elem
	if r0 == 0 goto none
	r7 = r0
	r8 = *(u64 *)(r7 + 0)
	r8 += 1
	*(u64 *)(r7 + 0) = r8
	r1 = r6
	r2 = map jumps ll
	r3 = 0
	call bpf_tail_call
	*(u64 *)(r7 + 0) = 0
	r0 = r8
	exit
none:
	r0 = 0
	exit
.section xdp.frags/devmap
.globl leaf
leaf:
	r6 = r1
	r7 = 8
	r8 = 0
again:
	r1 = r6
	call hop
	r8 += r0
	r7 += -1
	if r7 != 0 goto again
	r0 = r8
	exit
.text
hop:
	r6 = 100
	r7 = 200
	r2 = map jumps ll
	r3 = 1
	call bpf_tail_call
	r0 = 10
	exit
