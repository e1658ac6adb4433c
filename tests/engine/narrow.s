# Loads and moves of narrow numbers: what is in the upper half afterwards.
# run words=0x80f0f1f2f3f4f5f6 = 0xf5f6
# run words=0xffffffffffffffff = 0xffff
# run words=0x7f7f7f7f7f7f7f7f = 0x7f7f
.map m kind=array key=4 value=8 max_entries=1
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	*(u32 *)(r10 - 4) = 0
	r2 = r10
	r2 += -4
	r1 = map m ll
	call bpf_map_lookup_elem
	if r0 == 0 goto none
	*(u64 *)(r0 + 0) = r6
	r1 = *(u32 *)(r0 + 0)
	w2 = w1
	if r1 != r2 goto none
	r3 = *(s8 *)(r0 + 0)
	w4 = w3
	r5 = r4
	r5 >>= 32
	if r5 != 0 goto none
	r3 <<= 32
	r3 >>= 32
	if r3 != r4 goto none
	r3 = *(s32 *)(r0 + 4)
	r4 = *(u32 *)(r0 + 4)
	if w3 != w4 goto none
	r3 >>= 32
	w3 += w4
	w3 -= w4
	if w3 == 0 goto same
	if w3 != -1 goto none
same:
	r0 = *(u16 *)(r0 + 0)
	w0 = w0
	exit
none:
	r0 = 0
	exit
