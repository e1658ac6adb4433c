# Direct packet access: bounds, reads and writes by bytes and words.
# run packet=0102030405060708 = 0x104
# run packet=01 = 0
.section xdp
.globl main
main:
	r2 = *(u32 *)(r1 + 4)
	r1 = *(u32 *)(r1 + 0)
	r3 = r1
	r3 += 8
	r0 = 0
	if r3 > r2 goto out
	r4 = *(u16 *)(r1 + 0)
	r5 = *(u8 *)(r1 + 7)
	*(u8 *)(r1 + 0) = r5
	*(u16 *)(r1 + 6) = r4
	r4 = *(u32 *)(r1 + 4)
	r0 = r5
	r0 <<= 5
	r4 &= 0xff
	r5 = *(u8 *)(r1 + 0)
	r4 -= r5
	r4 += 7
	r0 |= r4
out:
	exit
