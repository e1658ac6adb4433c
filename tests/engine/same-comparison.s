# A comparison of a register with itself, which optimisation decides: a branch that it replaced shares its lists with what replaced it.
# run packet=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f = 0x2829
# run packet=0011 = 0
.map array kind=array key=4 value=16 max_entries=1
.section "socket"
.globl main
main:
	r6 = r1
	*(u64 *)(r10 - 24) = 0
	*(u32 *)(r10 - 4) = 0
	r2 = r10
	r2 += -4
	r1 = map array ll
	call bpf_map_lookup_elem
	r9 = r0
	r8 = -127
	r7 = *(u8 *)(r9 + 0)
	r0 = *(u16 *)skb[40]
	if r9 <= r9 goto L16
	r0 = *(u32 *)(r6 + 16)
	r7 = *(u8 *)(r10 - 24)
	w8 = -w8
L16:
	r8 >>= r8
	r7 = -r7
	exit
