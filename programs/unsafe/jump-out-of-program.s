// Rule: a jump must land in its own function.
.license "GPL"
.section "socket"
main:
	r0 = 0
	if r0 == 0 goto +5	// !! malformed
	exit
