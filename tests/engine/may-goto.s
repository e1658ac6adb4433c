# A loop bounded by may_goto alone.
# run words=10 = 10
# run words=100000 = 100000
.map m kind=array key=4 value=8 max_entries=1
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	*(u32 *)(r10 - 4) = 0
	r2 = r10
	r2 += -4
	r1 = map m ll
	call bpf_map_lookup_elem
	if r0 == 0 goto none
	r7 = r0
	r1 = 0
	*(u64 *)(r7 + 0) = r1
again:
	may_goto out
	r1 = *(u64 *)(r7 + 0)
	if r1 >= r6 goto out
	r1 += 1
	*(u64 *)(r7 + 0) = r1
	goto again
out:
	r0 = *(u64 *)(r7 + 0)
	exit
none:
	r0 = 0
	exit
