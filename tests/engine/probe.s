# Reads of memory that may not be there: of a map's value at places that are known or not, across its end and before its start.
# (What lies wholly elsewhere may be something else that the program has.)
# run words=64 = 0x100f0e0d0c0b0a09
# run words=67 = 0x131211100f0e0d0c
# run words=95 = 0x2f2e2d2c2b2a2928
# run words=96 = 0x302f2e2d2c2b2a29
# run words=97 = 0x1
# run words=63 = 0x1
# run words=49 = 0x1
# run words=111 = 0x1
# run words=104 = 0x1
# run words=112 = 0x1
.license "GPL"
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r6 &= 0x7f
	r6 += -64
	r1 = memory ll
	r2 = 0x0807060504030201 ll
	r3 = 0x0808080808080808 ll
	r4 = 0
fill:
	*(u64 *)(r1 + 0) = r2
	r1 += 8
	r2 += r3
	r4 += 1
	if r4 != 6 goto fill
	r2 = 9
	*(u64 *)(r10 - 16) = r2
	*(u64 *)(r10 - 8) = r2
	r7 = memory ll
	r7 += r6
	r1 = r10
	r1 += -16
	r2 = 16
	r3 = r7
	call bpf_probe_read_kernel
	r8 = r0
	r1 = r10
	r1 += -21
	r2 = 5
	r3 = memory + 8 ll
	call bpf_probe_read_kernel
	if r0 != 0 goto bad
	if r8 != 0 goto outside
	r0 = *(u64 *)(r10 - 8)
	r1 = *(u8 *)(r10 - 21)
	r2 = *(u8 *)(r10 - 17)
	if r1 != 9 goto bad
	if r2 != 13 goto bad
	r0 &= -256
	r1 = *(u8 *)(r10 - 16)
	r1 += 8
	r0 |= r1
	exit
outside:
	if r8 != -14 goto bad
	r0 = *(u64 *)(r10 - 16)
	if r0 != 0 goto bad
	r0 = *(u64 *)(r10 - 8)
	if r0 != 0 goto bad
	r0 = 1
	exit
bad:
	r0 = 2
	exit
.data memory
	.quad 0, 0, 0, 0, 0, 0
