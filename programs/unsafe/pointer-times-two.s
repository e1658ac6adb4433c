// Rule: only addition and subtraction make sense with a pointer.
.license "GPL"
.section "socket"
main:
	r1 *= 2			// !! pointer_arithmetic
	r0 = 0
	exit
