// Rule: only helpers that exist can be called.
.license "GPL"
.section "socket"
main:
	call 9999		// !! call_not_allowed
	r0 = 0
	exit
