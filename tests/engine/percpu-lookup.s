# A per-CPU array's element is this CPU's.
# run words=2 = 2
# run words=3 = 5
.map m kind=percpu_array key=4 value=8 max_entries=3
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	*(u32 *)(r10 - 4) = 1
	r2 = r10
	r2 += -4
	r1 = map m ll
	call bpf_map_lookup_elem
	if r0 == 0 goto out
	r1 = *(u64 *)(r0 + 0)
	r1 += r6
	*(u64 *)(r0 + 0) = r1
	r0 = r1
	exit
out:
	r0 = 0
	exit
