# Bytes put together to words in both byte orders, and those that a store comes between.
# run words=0x8877665544332211,0 = 0x4332211
# run words=0x8877665544332211,1 = 0x5544332211
# run words=0x8877665544332211,2 = 0x1122334455667788
# run words=0x8877665544332211,3 = 0x44332277
# run words=0xffffffffffffffff,4 = 0xffff0000
# run words=0x8877665544332211,5 = 0x33221100
# run words=0x8877665544332211,6 = 0x2211
.map m kind=array key=4 value=16 max_entries=1
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r7 = *(u64 *)(r1 + 8)
	*(u32 *)(r10 - 4) = 0
	r2 = r10
	r2 += -4
	r1 = map m ll
	call bpf_map_lookup_elem
	if r0 == 0 goto none
	r9 = r0
	*(u64 *)(r9 + 0) = r6
	if r7 == 0 goto low
	if r7 == 1 goto more
	if r7 == 2 goto reversed
	if r7 == 3 goto between
	if r7 == 4 goto shifted
	if r7 == 5 goto lost
	# A load of two bytes from two.
	r1 = *(u8 *)(r9 + 1)
	r1 <<= 8
	r0 = *(u8 *)(r9 + 0)
	r0 |= r1
	exit
low:
	# Two halves of 32 bits each, the upper one put together first.
	r1 = *(u8 *)(r9 + 1)
	w1 <<= 8
	r2 = *(u8 *)(r9 + 0)
	w1 |= w2
	r2 = *(u8 *)(r9 + 3)
	w2 <<= 8
	r3 = *(u8 *)(r9 + 2)
	w2 |= w3
	w2 <<= 16
	w1 |= w2
	w1 &= 0xfffffff
	r0 = r1
	exit
more:
	# Five bytes are no word, but four of them are.
	r0 = *(u8 *)(r9 + 4)
	r0 <<= 32
	r1 = *(u16 *)(r9 + 2)
	r1 <<= 16
	r2 = *(u8 *)(r9 + 1)
	r2 <<= 8
	r3 = *(u8 *)(r9 + 0)
	r2 += r3
	r2 ^= r1
	r0 |= r2
	exit
reversed:
	r0 = *(u8 *)(r9 + 0)
	r0 <<= 8
	r1 = *(u8 *)(r9 + 1)
	r0 |= r1
	r0 <<= 8
	r1 = *(u8 *)(r9 + 2)
	r0 |= r1
	r0 <<= 8
	r1 = *(u8 *)(r9 + 3)
	r0 |= r1
	r0 <<= 32
	r2 = *(u8 *)(r9 + 4)
	r2 <<= 24
	r0 |= r2
	r2 = *(u8 *)(r9 + 5)
	r2 <<= 16
	r0 |= r2
	r2 = *(u8 *)(r9 + 6)
	r2 <<= 8
	r0 |= r2
	r2 = *(u8 *)(r9 + 7)
	r0 |= r2
	exit
between:
	# The first byte was loaded before the store, the rest after it.
	*(u8 *)(r9 + 0) = 0x77
	r0 = *(u8 *)(r9 + 0)
	*(u8 *)(r9 + 0) = 0x55
	r1 = *(u8 *)(r9 + 1)
	r1 <<= 8
	r0 |= r1
	r1 = *(u16 *)(r9 + 2)
	r1 <<= 16
	r0 |= r1
	exit
shifted:
	# Bytes that fill only the upper half of a 32-bit number.
	r0 = *(u8 *)(r9 + 3)
	w0 <<= 8
	r1 = *(u8 *)(r9 + 2)
	w0 |= w1
	w0 <<= 16
	exit
lost:
	# The uppermost byte leaves the 32-bit number.
	r0 = *(u8 *)(r9 + 3)
	r0 <<= 8
	r1 = *(u8 *)(r9 + 2)
	r0 |= r1
	r0 <<= 8
	r1 = *(u8 *)(r9 + 1)
	r0 |= r1
	r0 <<= 8
	r1 = *(u8 *)(r9 + 0)
	r0 |= r1
	w0 <<= 8
	exit
none:
	r0 = 0
	exit
