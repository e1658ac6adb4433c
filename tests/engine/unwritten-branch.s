# A slot that one path writes and a helper reads on both: the other path's bytes are zeros.
# run words=5,1 = 105
# run words=5,0 = 100
# run words=0,0 = 101
.map m kind=array key=4 value=8 max_entries=8
.map h kind=hash key=8 value=8 max_entries=8
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r7 = *(u64 *)(r1 + 8)
	if r7 == 0 goto skip
	*(u64 *)(r10 - 8) = r6
skip:
	*(u64 *)(r10 - 24) = 100
	if r6 != 0 goto same
	*(u64 *)(r10 - 24) = 101
same:
	r1 = map h ll
	r2 = r10
	r2 += -8
	r3 = r10
	r3 += -24
	r4 = 0
	call bpf_map_update_elem
	r1 = map h ll
	r2 = r10
	r2 += -8
	call bpf_map_lookup_elem
	if r0 == 0 goto out
	r0 = *(u64 *)(r0 + 0)
	r1 = *(u64 *)(r10 - 8)
	r0 += r1
	exit
out:
	r0 = 0
	exit
