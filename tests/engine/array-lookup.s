# Lookups compiled in place: inside, at the end, outside, and with a key that is not on the stack.
# run words=0,7 = 7
# run words=3,9 = 9
# run words=4,9 = 0x1000
# run words=0xffffffff,9 = 0x1000
# run words=0x100000003,1 = 10
# run words=0,1 = 8
.map m kind=array key=4 value=12 max_entries=4
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r7 = *(u64 *)(r1 + 8)
	*(u32 *)(r10 - 4) = r6
	r2 = r10
	r2 += -4
	r1 = map m ll
	call bpf_map_lookup_elem
	if r0 == 0 goto out
	r1 = *(u64 *)(r0 + 0)
	r1 += r7
	*(u64 *)(r0 + 0) = r1
	*(u32 *)(r0 + 8) = r6
	r8 = r0
	r2 = r0
	r2 += 8
	r1 = map m ll
	call bpf_map_lookup_elem
	if r0 == 0 goto out
	if r0 != r8 goto other
	r0 = *(u64 *)(r0 + 0)
	exit
other:
	r0 = 0x2000
	exit
out:
	r0 = 0x1000
	exit
