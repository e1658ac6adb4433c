# Loads of read-only data at places known and not known, in all sizes and both signs.
# run words=0 = 0x10d
# run words=2 = 0x1f1
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r6 &= 7
	r1 = table ll
	r2 = *(u8 *)(r1 + 7)
	r3 = *(s8 *)(r1 + 7)
	r4 = *(u16 *)(r1 + 8)
	r5 = *(s32 *)(r1 + 4)
	r5 >>= 63
	r0 = r2
	r0 += r3
	r0 += r4
	r0 += r5
	r1 += r6
	r1 = *(u8 *)(r1 + 0)
	r0 += r1
	exit
.rodata table
	.quad 0xfffffffe00f1000d, 0x0000000000000001
