// Rule: a register must be written before it is read.
.license "GPL"
.section "socket"
main:
	r0 = r3			// !! uninitialised
	exit
