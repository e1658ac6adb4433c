# A dynptr of a map value: written and read at offsets given (of 32 bits), within its 16 bytes or not, and by a slice.
# run words=0,5 = 5
# run words=8,7 = 7
# run words=9,7 = -7
# run words=0xffffffffffffffff,7 = -7
# run words=0x100000000,7 = 7
.map m kind=array key=4 value=16 max_entries=1
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r7 = *(u64 *)(r1 + 8)
	*(u64 *)(r10 - 40) = r7
	*(u32 *)(r10 - 4) = 0
	r2 = r10
	r2 += -4
	r1 = map m ll
	call bpf_map_lookup_elem
	if r0 == 0 goto none
	r8 = r0
	r1 = r0
	r2 = 16
	r3 = 0
	r4 = r10
	r4 += -24
	call bpf_dynptr_from_mem
	if r0 != 0 goto out
	r1 = r10
	r1 += -24
	r2 = r6
	r3 = r10
	r3 += -40
	r4 = 8
	r5 = 0
	call bpf_dynptr_write
	if r0 != 0 goto out
	*(u64 *)(r10 - 32) = 0
	r1 = r10
	r1 += -32
	r2 = 8
	r3 = r10
	r3 += -24
	r4 = r6
	r5 = 0
	call bpf_dynptr_read
	if r0 != 0 goto out
	r1 = r10
	r1 += -24
	r2 = r6
	r3 = 8
	call bpf_dynptr_data
	if r0 == 0 goto none
	r2 = *(u64 *)(r0 + 0)
	r0 = *(u64 *)(r10 - 32)
	if r0 == r2 goto out
none:
	r0 = 99
out:
	exit
