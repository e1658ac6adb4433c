// Rule: a function may use the 512 bytes below r10.
.license "GPL"
.section "socket"
main:
	r0 = 0
	*(u64 *)(r10 - 520) = r0	// !! out_of_bounds
	exit
