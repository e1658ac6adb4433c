// Rule: r10 is read-only.
.license "GPL"
.section "socket"
main:
	r10 += -8		// !! read_only
	r0 = 0
	exit
