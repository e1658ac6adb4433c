# An address that is of the frame on one path and of a map on the other.
# run words=0 = 7
# run words=1 = 1
# run words=1 = 2
.map m kind=array key=4 value=8 max_entries=1
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	*(u32 *)(r10 - 4) = 0
	*(u64 *)(r10 - 16) = 6
	r2 = r10
	r2 += -4
	r1 = map m ll
	call bpf_map_lookup_elem
	if r0 == 0 goto out
	if r6 != 0 goto map
	r0 = r10
	r0 += -16
map:
	r1 = *(u64 *)(r0 + 0)
	r1 += 1
	*(u64 *)(r0 + 0) = r1
	if r6 != 0 goto done
	r1 = *(u64 *)(r10 - 16)
done:
	r0 = r1
	exit
out:
	r0 = 0
	exit
