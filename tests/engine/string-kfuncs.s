# Strings on the stacks of a function, of its caller, and where one without any calls: none is taken for another.
# run words=0x6463,0 = 0x2210
# run words=0x64636261,0 = 0x4410
# run words=0x6463000061,0 = 0x1110
.license "GPL"
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	*(u64 *)(r10 - 8) = r6
	*(u64 *)(r10 - 16) = 0x61
	r1 = r10
	r1 += -16
	kfunc bpf_strlen
	w7 = w0
	r7 <<= 4
	r1 = r10
	r1 += -8
	call through
	r0 <<= 8
	r7 |= r0
	r1 = r10
	r1 += -8
	kfunc bpf_strlen
	w0 = w0
	r0 <<= 12
	r0 |= r7
	exit
through:
	call below
	exit
below:
	r6 = r1
	*(u64 *)(r10 - 8) = 0
	r1 = r10
	r1 += -8
	kfunc bpf_strlen
	w7 = w0
	r1 = r6
	kfunc bpf_strlen
	w0 = w0
	r0 |= r7
	exit
