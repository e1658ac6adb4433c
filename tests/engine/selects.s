# Branches around one copy: of registers and numbers, in both widths, signed and not, in a loop, before a place that others lead to.
# run words=0x81,0x0 = 0x3a8e
# run words=0x5,0x7 = 0x55aafe5500ff9836
# run words=0xffffffffffffffff,0x1 = 0x55aafe2d00ffaadc
# run words=0x8000000000000000,0x7fffffffffffffff = 0x55aafe5500ffaa86
# run words=0x123456789,0x30 = 0x55aafe0e3b59ef9c
# run words=0x8100000081,0xf0000000f = 0x55aae7da00fc916c
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r7 = *(u64 *)(r1 + 8)
	r2 = r6
	if r6 s> r7 goto first
	r2 = r7
first:
	r3 = 1
	if r6 == 129 goto flag
	r3 = 0
flag:
	r4 = -1
	if r7 & 1 goto odd
	r4 = 7
odd:
	w5 = w6
	if w7 < 16 goto narrow
	r5 = r6
narrow:
	w8 = w5
	r0 = r2
	r0 *= 3
	r3 *= 5
	r0 += r3
	r4 *= 7
	r0 += r4
	r5 *= 11
	r0 += r5
	r8 *= 13
	r0 += r8
	r9 = 5
	if r7 s<= 0 goto small
	r9 = 0x1122334455667788 ll
small:
	r0 += r9
	r2 = r0
	r9 = 4
	r3 = 0
again:
	r4 = r0
	r4 *= r9
	r5 = r4
	if r4 < r2 goto less
	r5 = r2
less:
	r2 = r5
	r3 += r2
	r9 += -1
	if r9 != 0 goto again
	r0 ^= r3
	exit
