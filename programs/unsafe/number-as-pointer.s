// Rule: a number is no pointer, whatever its value.
.license "GPL"
.section "socket"
main:
	r1 = 4096
	r0 = *(u64 *)(r1 + 0)	// !! bad_pointer
	exit
