# A hash by way of its helpers: counts per key.
# run words=5 = 1
# run words=5 = 2
# run words=6 = 1
# run words=5 = 3
.map m kind=hash key=8 value=8 max_entries=16
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	*(u64 *)(r10 - 8) = r6
	*(u64 *)(r10 - 16) = 1
	r2 = r10
	r2 += -8
	r1 = map m ll
	call bpf_map_lookup_elem
	if r0 == 0 goto new
	r1 = 1
	r1 = atomic_fetch_add((u64 *)(r0 + 0), r1)
	r0 = r1
	r0 += 1
	exit
new:
	r1 = map m ll
	r2 = r10
	r2 += -8
	r3 = r10
	r3 += -16
	r4 = 0
	call bpf_map_update_elem
	r0 = *(u64 *)(r10 - 16)
	exit
