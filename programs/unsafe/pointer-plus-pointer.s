// Rule: two pointers cannot be added.
.license "GPL"
.section "socket"
main:
	r2 = r10
	r1 += r2		// !! pointer_arithmetic
	r0 = 0
	exit
