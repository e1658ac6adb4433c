// Rule: what lies at and above r10 belongs to somebody else.
.license "GPL"
.section "socket"
main:
	r0 = 0
	*(u64 *)(r10 + 0) = r0	// !! out_of_bounds
	exit
