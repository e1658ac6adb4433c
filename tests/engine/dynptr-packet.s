# Dynptrs of a packet: read, written, sliced, adjusted, cloned; past their end; after the packet became shorter.
# run packet=000102030405060708090a0b0c0d0e0f10111213 = 0x3fff
# run packet=0001020304050607 = 0x1
.license "GPL"
.section xdp
.globl main
main:
	r6 = r1
	r9 = 0
	r1 = r6
	r2 = 1
	r3 = r10
	r3 += -16
	kfunc bpf_dynptr_from_xdp
	if r0 != -22 goto out
	r1 = r10
	r1 += -16
	kfunc bpf_dynptr_is_null
	r0 &= 0xff
	if r0 != 1 goto out
	r9 |= 1
	r1 = r6
	r2 = 0
	r3 = r10
	r3 += -16
	kfunc bpf_dynptr_from_xdp
	r0 <<= 32
	if r0 != 0 goto out
	r1 = r10
	r1 += -16
	r2 = 4
	r3 = 0
	r4 = 12
	kfunc bpf_dynptr_slice_rdwr
	if r0 == 0 goto out
	r9 |= 2
	r1 = *(u32 *)(r0 + 8)
	if r1 != 0x0f0e0d0c goto out
	r9 |= 4
	*(u32 *)(r0 + 0) = 0x55
	r1 = r10
	r1 += -16
	r2 = 4
	r3 = 16
	kfunc bpf_dynptr_adjust
	w0 = w0
	if r0 != 0 goto out
	r1 = r10
	r1 += -16
	kfunc bpf_dynptr_size
	w0 = w0
	if r0 != 12 goto out
	r9 |= 8
	r1 = r10
	r1 += -16
	r2 = r10
	r2 += -32
	kfunc bpf_dynptr_clone
	r1 = r10
	r1 += -40
	*(u64 *)(r1 + 0) = 0
	r2 = 8
	r3 = r10
	r3 += -32
	r4 = 0
	r5 = 0
	call bpf_dynptr_read
	if r0 != 0 goto out
	r1 = *(u64 *)(r10 - 40)
	r2 = 0x0b0a090800000055 ll
	if r1 != r2 goto out
	r9 |= 0x10
	r1 = r10
	r1 += -16
	r2 = 5
	r3 = r10
	r3 += -40
	r4 = 8
	r5 = 0
	call bpf_dynptr_write
	if r0 != -7 goto out
	r9 |= 0x20
	r1 = r10
	r1 += -16
	r2 = 4
	r3 = r10
	r3 += -40
	r4 = 8
	r5 = 1
	call bpf_dynptr_write
	if r0 != -22 goto out
	r9 |= 0x40
	r1 = r10
	r1 += -16
	r2 = 4
	r3 = r10
	r3 += -40
	r4 = 8
	r5 = 0
	call bpf_dynptr_write
	if r0 != 0 goto out
	r9 |= 0x80
	r1 = r10
	r1 += -16
	r2 = 0
	r3 = r10
	r3 += -32
	r4 = 8
	r5 = 4
	kfunc bpf_dynptr_copy
	w0 = w0
	if r0 != 0 goto out
	r9 |= 0x100
	r1 = r10
	r1 += -32
	r2 = 9
	r3 = 0
	r4 = 4
	kfunc bpf_dynptr_slice
	if r0 != 0 goto out
	r9 |= 0x200
	r1 = r10
	r1 += -32
	r2 = 0
	r3 = 4
	call bpf_dynptr_data
	if r0 != 0 goto out
	r9 |= 0x400
	r1 = r10
	r1 += -32
	kfunc bpf_dynptr_is_rdonly
	r0 &= 0xff
	if r0 != 0 goto out
	r9 |= 0x800
	r1 = r6
	r2 = -6
	call bpf_xdp_adjust_tail
	if r0 != 0 goto out
	r1 = r10
	r1 += -32
	r2 = 8
	r3 = 0
	r4 = 4
	kfunc bpf_dynptr_slice
	if r0 != 0 goto out
	r9 |= 0x1000
	r1 = r10
	r1 += -40
	r2 = 4
	r3 = r10
	r3 += -32
	r4 = 8
	r5 = 0
	call bpf_dynptr_read
	if r0 != -22 goto out
	r9 |= 0x2000
out:
	r0 = r9
	exit
