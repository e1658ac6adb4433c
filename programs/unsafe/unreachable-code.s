// Rule: every instruction must be reachable.
.license "GPL"
.section "socket"
main:
	r0 = 0
	exit
	r0 = 1			// !! malformed
	exit
