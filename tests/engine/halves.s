# Results of 32-bit arithmetic, read as 32 and as 64 bits, in the same block and behind a branch.
# run words=0xffffffffffffffff,0x1 = 0xffffffffffffffff
# run words=0x123456789abcdef0,0x0 = 0x1234561cbed8ee10
# run words=0x80000000,0x80000000 = 0x80000000
# run words=0xffffff80,0x0 = 0x2ffff7f80
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r7 = *(u64 *)(r1 + 8)
	w1 = w6
	w1 += w7
	r2 = r1
	r2 += r6
	w3 = w1
	w3 = -w3
	if r7 == 0 goto zero
	w1 *= 3
	goto on
zero:
	w1 = w3
on:
	w4 = (s8)w1
	r5 = (s32)r3
	w8 = w1
	w8 ^= w3
	*(u32 *)(r10 - 4) = r8
	r0 = r3
	r0 <<= 8
	r0 ^= r2
	r0 += r1
	r0 += r4
	r0 ^= r5
	r9 = *(u32 *)(r10 - 4)
	r0 += r9
	exit
