# Rotations by two shifts: of both widths, put together in each way, in each order; and shifts that only look like one.
# run words=0x0,0x0 = 0x0
# run words=0x123456789abcdef0,0xfedcba9876543210 = 0x82e189fe317945e7
# run words=0xffffffffffffffff,0x1 = 0xfffffffd
# run words=0x8000000000000000,0xffffffffffffffff = 0x7fefff
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r7 = *(u64 *)(r1 + 8)
	r0 = r6
	r0 <<= 13
	r2 = r6
	r2 >>= 51
	r0 |= r2
	r2 = r6
	r2 >>= 40
	r3 = r6
	r3 <<= 24
	r2 ^= r3
	r0 += r2
	w2 = w7
	w3 = w7
	w2 <<= 7
	w3 >>= 25
	w2 += w3
	r0 ^= r2
	r2 = r6
	r2 <<= 13
	r3 = r6
	r3 >>= 50
	r2 |= r3
	r0 += r2
	r2 = r6
	r2 <<= 32
	r3 = r7
	r3 >>= 32
	r2 |= r3
	r0 ^= r2
	r2 = r7
	r2 <<= 7
	r3 = r7
	r3 >>= 25
	r2 |= r3
	r0 += r2
	exit
