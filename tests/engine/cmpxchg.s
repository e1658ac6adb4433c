# Both outcomes of a comparison: r0 is the old value, zero-extended at 32 bits.
# run words=5,5,9 = 0xe
# run words=5,6,9 = 0xa
# run words=0xffffffff00000005,5,9 = 0xffffffff0000000e
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r0 = *(u64 *)(r1 + 8)
	r7 = *(u64 *)(r1 + 16)
	*(u64 *)(r10 - 8) = r6
	w0 = cmpxchg32_32(r10 - 8, w0, w7)
	r2 = *(u64 *)(r10 - 8)
	r0 += r2
	exit
