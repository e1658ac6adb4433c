# The result of a lookup held in several registers when it is tested, tested late, and tested again.
# run words=1,5 = 0x605
# run words=9,5 = 0x1000
# run words=1,5 = 0xc0a
.map m kind=array key=4 value=8 max_entries=4
.map n kind=percpu_array key=4 value=8 max_entries=4
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
	r8 = r0
	r9 = r0
	*(u64 *)(r10 - 16) = r0
	if r8 != 0 goto found
	# All copies are 0 here.
	r0 += r8
	r0 += r9
	if r0 != 0 goto wrong
	r0 = 0x1000
	exit
found:
	r1 = *(u64 *)(r9 + 0)
	r1 += r7
	*(u64 *)(r8 + 0) = r1
	*(u32 *)(r10 - 4) = 2
	r2 = r10
	r2 += -4
	r1 = map n ll
	call bpf_map_lookup_elem
	if r0 == 0 goto wrong
	r1 = *(u64 *)(r0 + 0)
	r1 += 6
	*(u64 *)(r0 + 0) = r1
	r2 = *(u64 *)(r10 - 16)
	if r2 == 0 goto wrong
	r0 = *(u64 *)(r2 + 0)
	r1 <<= 8
	r0 |= r1
	exit
wrong:
	r0 = 0xbad
	exit
