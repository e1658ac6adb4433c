// Rule: a pointer that was spilled to the stack is whole or no pointer: overwriting a
// byte of it and using it again is not allowed.
.license "GPL"
.section "xdp"
main:
	*(u64 *)(r10 - 8) = r1
	w2 = 0
	*(u8 *)(r10 - 8) = w2
	r3 = *(u64 *)(r10 - 8)
	r0 = *(u32 *)(r3 + 0)	// !! bad_pointer
	exit
