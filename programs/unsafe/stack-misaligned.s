// Rule: a pointer on the stack must lie on an 8-byte boundary.
.license "GPL"
.section "socket"
main:
	r0 = 0
	*(u64 *)(r10 - 12) = r1	// !! misaligned
	exit
