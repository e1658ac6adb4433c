// Rule: a loop needs a bound; a count that comes from outside is none when it may never be reached.
.license "GPL"
.section "socket"
main:
	r2 = *(u32 *)(r1 + 0)
	r0 = 0
again:
	r0 += 2			// !! unbounded
	r0 &= 6
	if r0 != 7 goto again
	exit
