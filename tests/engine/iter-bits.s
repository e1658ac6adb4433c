# The bits of words on the stack; their sum, and the error of an iterator of none.
# run words=5,0 = 0xea00000000000002
# run words=0,0x8000000000000001 = 0xea000000000000bf
# run words=0,0 = 0xea00000000000000
.license "GPL"
.section raw_tracepoint
.globl main
main:
	r7 = *(u64 *)(r1 + 0)
	r8 = *(u64 *)(r1 + 8)
	*(u64 *)(r10 - 32) = r7
	*(u64 *)(r10 - 24) = r8
	r6 = 0
	r1 = r10
	r1 += -16
	r2 = r10
	r2 += -32
	r3 = 2
	kfunc bpf_iter_bits_new
again:
	r1 = r10
	r1 += -16
	kfunc bpf_iter_bits_next
	if r0 == 0 goto out
	r1 = *(u32 *)(r0 + 0)
	r6 += r1
	goto again
out:
	r1 = r10
	r1 += -16
	kfunc bpf_iter_bits_destroy
	r1 = r10
	r1 += -16
	r2 = r10
	r2 += -32
	r3 = 0
	kfunc bpf_iter_bits_new
	r7 = r0
	r7 <<= 56
	r1 = r10
	r1 += -16
	kfunc bpf_iter_bits_destroy
	r0 = r6
	r0 |= r7
	exit
