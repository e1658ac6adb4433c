// Rule: a jump must not land in the second half of a 16-byte instruction.
.license "GPL"
.section "socket"
main:
	r0 = 0
	goto +1			// !! malformed
	r1 = 0x123456789abcdef ll
	exit
