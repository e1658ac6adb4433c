# Bytes of dynptrs filled: of a packet, of a map's value in more than one piece, past the end, of a read-only and of an empty one.
# run packet=000102030405060708090a0b0c0d0e0f10111213 = 0x1ff
.license "GPL"
.map m kind=array key=4 value=600 max_entries=1
.section xdp
.globl main
main:
	r6 = r1
	r9 = 0
	r2 = 0
	r3 = r10
	r3 += -16
	kfunc bpf_dynptr_from_xdp
	r1 = r10
	r1 += -16
	r2 = 3
	r3 = 4
	r4 = 0x1aa
	kfunc bpf_dynptr_memset
	w0 = w0
	if r0 != 0 goto out
	r9 |= 1
	r1 = r10
	r1 += -40
	*(u64 *)(r1 + 0) = 0
	r2 = 8
	r3 = r10
	r3 += -16
	r4 = 1
	r5 = 0
	call bpf_dynptr_read
	if r0 != 0 goto out
	r1 = *(u64 *)(r10 - 40)
	r2 = 0x0807aaaaaaaa0201 ll
	if r1 != r2 goto out
	r9 |= 2
	r1 = r10
	r1 += -16
	r2 = 17
	r3 = 4
	r4 = 1
	kfunc bpf_dynptr_memset
	w1 = -7
	w0 = w0
	if r0 != r1 goto out
	r9 |= 4
	r1 = r6
	r2 = 1
	r3 = r10
	r3 += -32
	kfunc bpf_dynptr_from_xdp
	r1 = r10
	r1 += -32
	r2 = 0
	r3 = 0
	r4 = 1
	kfunc bpf_dynptr_memset
	w0 = w0
	if r0 != 0 goto out
	r9 |= 8
	r1 = r10
	r1 += -32
	r2 = 0
	r3 = 1
	r4 = 1
	kfunc bpf_dynptr_memset
	w1 = -7
	w0 = w0
	if r0 != r1 goto out
	r9 |= 0x10
	*(u32 *)(r10 - 48) = 0
	r1 = map m ll
	r2 = r10
	r2 += -48
	call bpf_map_lookup_elem
	if r0 == 0 goto out
	r7 = r0
	r1 = r7
	r2 = 600
	r3 = 0
	r4 = r10
	r4 += -64
	call bpf_dynptr_from_mem
	if r0 != 0 goto out
	r1 = r10
	r1 += -64
	r2 = 1
	r3 = 598
	r4 = 7
	kfunc bpf_dynptr_memset
	w0 = w0
	if r0 != 0 goto out
	r9 |= 0x20
	r1 = *(u16 *)(r7 + 0)
	if r1 != 0x700 goto out
	r9 |= 0x40
	r1 = *(u16 *)(r7 + 598)
	if r1 != 7 goto out
	r9 |= 0x80
	r1 = *(u16 *)(r7 + 256)
	if r1 != 0x707 goto out
	r9 |= 0x100
out:
	r0 = r9
	exit
