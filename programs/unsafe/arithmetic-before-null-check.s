// Rule: a pointer that may be NULL must be checked before anything is added to it
// (NULL + 8 would pass the check afterwards; CVE-2022-23222).
.license "GPL"
.map counts kind=hash key=4 value=16 max_entries=4
.section "socket"
main:
	r1 = 0
	*(u32 *)(r10 - 4) = r1
	r2 = r10
	r2 += -4
	r1 = map counts ll
	call bpf_map_lookup_elem
	r0 += 8			// !! pointer_arithmetic
	if r0 == 0 goto out
	r0 = *(u64 *)(r0 + 0)
	r0 = 0
out:
	exit
