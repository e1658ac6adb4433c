// Rule: the last instruction must be an exit or a jump.
.license "GPL"
.section "socket"
main:
	r0 = 0			// !! malformed
