# What a member of a structure of operations is called with is promised.
# implements tcp_congestion_ops.ssthresh
# run words=0 = 7
# run words=0x1000 = 7
.license "GPL"
.section struct_ops
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r0 = 100
	if r6 == 0 goto done
	r0 = *(u8 *)(r6 + 0)
	r0 += 7
done:
	exit
