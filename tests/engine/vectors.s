# Loops of a known number of laps that copy, fill and add up, in forms that may be done sixteen bytes at once and some that may not.
# What they leave is told by a sum over all bytes that no two orders have alike.
# run words=0x11,0 = 0xe9c8f31f
# run words=0x11,1 = 0xe49d559e
# run words=0x11,2 = 0xe77d0220
# run words=0x11,3 = 0x5c8e94c0
# run words=0x11,4 = 0xb9452c80
# run words=0x11,5 = 0xd6ecf6f6
# run words=0x11,6 = 0x5e7b9f20
# run words=0x11,7 = 0x6fa6cc81
# run words=0x11,8 = 0x99082f80
# run words=0x11,9 = 0xddb00f40
# run words=0x11,10 = 0xddb00f60
# run words=0x11,11 = 0xf19f9dda
# run words=0x11,12 = 0x3a55b660
# run words=0x11,13 = 0xdab43080
# run words=0x11,14 = 0xb1f7cb3e
# run words=0x11,15 = 0xb21bde80
# run words=0xfedcba9876543210,0 = 0x1108a7c5
# run words=0xfedcba9876543210,1 = 0x40a973ba
# run words=0xfedcba9876543210,2 = 0xd0391320
# run words=0xfedcba9876543210,3 = 0x454aa5c0
# run words=0xfedcba9876543210,4 = 0xa2013d80
# run words=0xfedcba9876543210,5 = 0x250d6a32
# run words=0xfedcba9876543210,6 = 0x26a6f16c
# run words=0xfedcba9876543210,7 = 0x40e0bd82
# run words=0xfedcba9876543210,8 = 0x32d4c000
# run words=0xfedcba9876543210,9 = 0x5eb46000
# run words=0xfedcba9876543210,10 = 0x5eb46020
# run words=0xfedcba9876543210,11 = 0xb5e91d64
# run words=0xfedcba9876543210,12 = 0x2311c760
# run words=0xfedcba9876543210,13 = 0xc3704180
# run words=0xfedcba9876543210,14 = 0x9ab3dc3e
# run words=0xfedcba9876543210,15 = 0x9ad7ef80
.map m kind=array key=4 value=256 max_entries=1
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
	r8 = 0
	# The pattern: no sum, as it is multiplied.
	r1 = 0
pattern:
	r2 = r9
	r2 += r1
	r3 = r1
	r3 *= 37
	r3 ^= r6
	*(u8 *)(r2 + 0) = r3
	r1 += 1
	if r1 != 256 goto pattern
	r1 = 0
	if r7 == 0 goto copy
	if r7 == 1 goto by_one
	if r7 == 2 goto by_eight
	if r7 == 3 goto by_sixteen
	if r7 == 4 goto back_by_eight
	if r7 == 5 goto fill
	if r7 == 6 goto fill_halves
	if r7 == 7 goto sum_bytes
	if r7 == 8 goto sum_halves
	if r7 == 9 goto sum_words
	if r7 == 10 goto sum_words_wide
	if r7 == 11 goto sum_all
	if r7 == 12 goto downwards
	if r7 == 13 goto indexed
	if r7 == 14 goto from_stack
	goto partial
copy:
	# 45 bytes: the last 13 laps are single ones.
	r2 = r9
	r2 += r1
	r3 = *(u8 *)(r2 + 3)
	*(u8 *)(r2 + 100) = r3
	r1 += 1
	if r1 != 77 goto copy
	goto told
by_one:
	r2 = r9
	r2 += r1
	r3 = *(u8 *)(r2 + 10)
	*(u8 *)(r2 + 11) = r3
	r1 += 1
	if r1 < 100 goto by_one
	goto told
by_eight:
	r2 = r9
	r2 += r1
	r3 = *(u8 *)(r2 + 10)
	*(u8 *)(r2 + 18) = r3
	r1 += 1
	if r1 < 100 goto by_eight
	goto told
by_sixteen:
	r2 = r9
	r2 += r1
	r3 = *(u16 *)(r2 + 10)
	*(u16 *)(r2 + 26) = r3
	r1 += 2
	if r1 < 100 goto by_sixteen
	goto told
back_by_eight:
	r2 = r9
	r2 += r1
	r3 = *(u32 *)(r2 + 28)
	*(u32 *)(r2 + 20) = r3
	r1 += 4
	if r1 < 200 goto back_by_eight
	goto told
fill:
	r2 = r9
	r2 += r1
	*(u32 *)(r2 + 8) = 0x12345678
	r1 += 4
	if r1 <= 130 goto fill
	goto told
fill_halves:
	r2 = r9
	r2 += r1
	*(u16 *)(r2 + 9) = r6
	r1 += 2
	if r1 != 200 goto fill_halves
	goto told
sum_bytes:
	r2 = r9
	r2 += r1
	r3 = *(u8 *)(r2 + 1)
	w8 += w3
	r1 += 1
	if r1 != 251 goto sum_bytes
	goto told
sum_halves:
	r2 = r9
	r2 += r1
	r3 = *(u16 *)(r2 + 0)
	w3 += w8
	w8 = w3
	r2 = r1
	r1 += 2
	if r2 < 254 goto sum_halves
	goto told
sum_words:
	r2 = r9
	r2 += r1
	r3 = *(u32 *)(r2 + 0)
	w8 += w3
	r1 += 4
	if r1 < 256 goto sum_words
	goto told
sum_words_wide:
	r2 = r9
	r2 += r1
	r3 = *(u32 *)(r2 + 0)
	r8 += r3
	r1 += 4
	if r1 < 256 goto sum_words_wide
	goto told
sum_all:
	r8 = r6
sum_more:
	r2 = r9
	r2 += r1
	r3 = *(u64 *)(r2 + 0)
	r8 += r3
	r1 += 8
	if r1 < 248 goto sum_more
	goto told
downwards:
	r1 = 200
down:
	r2 = r9
	r2 += r1
	r3 = *(u8 *)(r2 + 0)
	*(u8 *)(r2 + 40) = r3
	r1 += -1
	if r1 != 0 goto down
	goto told
indexed:
	r2 = r1
	r2 <<= 3
	r3 = r9
	r3 += r2
	r4 = *(u64 *)(r3 + 0)
	*(u64 *)(r3 + 128) = r4
	r1 += 1
	if r1 != 15 goto indexed
	goto told
from_stack:
	r2 = r9
	r2 += r1
	r3 = *(u8 *)(r2 + 0)
	r2 = r10
	r2 += r1
	*(u8 *)(r2 - 96) = r3
	r1 += 1
	if r1 != 80 goto from_stack
	r1 = 0
to_map:
	r2 = r10
	r2 += r1
	r3 = *(u8 *)(r2 - 96)
	r2 = r9
	r2 += r1
	*(u8 *)(r2 + 70) = r3
	r1 += 1
	if r1 != 77 goto to_map
	goto told
partial:
	# The low halves only, of words.
	r2 = r9
	r2 += r1
	r3 = *(u32 *)(r2 + 0)
	*(u16 *)(r2 + 64) = r3
	r1 += 2
	if r1 != 60 goto partial
told:
	r0 = r8
	r1 = 0
tell:
	r2 = r9
	r2 += r1
	r3 = *(u8 *)(r2 + 0)
	w0 *= 31
	w0 += w3
	r1 += 1
	if r1 != 256 goto tell
	r1 = r8
	r1 >>= 32
	r0 ^= r1
	exit
none:
	r0 = 0
	exit
