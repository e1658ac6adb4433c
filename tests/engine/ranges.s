# Upper halves: known on every way or on one only, from comparisons, loads, shifts and masks, through a loop.
# run words=0x100000005,0x80000000ffffffff = 0x100005017
# run words=0xffffffff80000000,0x100000009 = 0x300000000
# run words=5,7 = 0x5013
# run words=0x500000001,0x300000002 = 0x50000100f
# run words=0xffffffff,0 = 0xf00000fff
# run words=0x1ffffffff,1 = 0xdfffff003
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r7 = *(u64 *)(r1 + 8)
	r9 = 0
	r2 = 0xffffffff ll
	r8 = r6
	if r6 > r2 goto wide
	w8 = w6
wide:
	w3 = w8
	if r3 == r8 goto same
	r9 += 1
same:
	w4 = w6
	w5 = w7
	if r7 > 9 goto large
	w4 = w7
	r5 = r7
	goto join
large:
	r4 >>= 1
	r5 = r6
join:
	w1 = w4
	w2 = w5
	r9 += r1
	r9 += r2
	r3 = r6
	r3 >>= 32
	w3 = w3
	r9 += r3
	r0 = 3
again:
	w6 = w6
	r6 <<= 4
	w3 = w6
	r3 &= 0xf0
	r0 += -1
	if r0 != 0 goto again
	r9 += r3
	if r8 < r6 goto below
	r9 <<= 1
below:
	r0 = r9
	r0 += r8
	r0 ^= r6
	exit
