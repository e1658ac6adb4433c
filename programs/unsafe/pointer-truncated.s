// Rule: half of a pointer is none: 32-bit arithmetic on it is refused.
.license "GPL"
.section "xdp"
main:
	w1 += 4			// !! pointer_arithmetic
	r0 = 0
	exit
