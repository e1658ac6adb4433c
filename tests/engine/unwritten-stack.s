# Stack bytes that were never written are zeros, never what the host left there.
# run words=1 = 0
# run words=0 = 0
.section raw_tracepoint
.globl main
main:
	r2 = *(u64 *)(r1 + 0)
	r0 = *(u64 *)(r10 - 64)
	if r2 == 0 goto out
	r3 = *(u32 *)(r10 - 128)
	r0 += r3
	r4 = *(u64 *)(r10 - 480)
	r0 |= r4
	r4 = *(u16 *)(r10 - 476)
	r0 |= r4
out:
	exit
