# A dynptr of a packet that a program may only read: it says so, refuses writes, and gives slices.
# run packet=000102030405060708090a0b0c0d0e0f10111213 = 0x0a090807
# run packet=00010203 = 0x4
.license "GPL"
.section socket
.globl main
main:
	r6 = r1
	r2 = 0
	r3 = r10
	r3 += -16
	kfunc bpf_dynptr_from_skb
	w0 = w0
	if r0 != 0 goto bad
	r1 = r10
	r1 += -16
	kfunc bpf_dynptr_is_rdonly
	r0 &= 0xff
	if r0 != 1 goto bad
	r1 = 5
	*(u64 *)(r10 - 24) = r1
	r1 = r10
	r1 += -16
	r2 = 0
	r3 = r10
	r3 += -24
	r4 = 4
	r5 = 0
	call bpf_dynptr_write
	if r0 != -22 goto bad
	r1 = r10
	r1 += -16
	r2 = 7
	r3 = r10
	r3 += -24
	r4 = 4
	kfunc bpf_dynptr_slice
	if r0 == 0 goto short
	r0 = *(u32 *)(r0 + 0)
	exit
short:
	r1 = r10
	r1 += -16
	kfunc bpf_dynptr_size
	w0 = w0
	exit
bad:
	r0 = 99
	exit
