// Rule: r0 must hold a number when the program ends.
.license "GPL"
.section "socket"
main:
	exit			// !! uninitialised
