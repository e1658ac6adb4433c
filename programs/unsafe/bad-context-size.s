// Rule: a context field may be read only as it is laid out: this read straddles two.
.license "GPL"
.section "xdp"
main:
	r0 = *(u32 *)(r1 + 2)	// !! context_access
	r0 = 2
	exit
