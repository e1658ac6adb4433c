# A 32-bit cmpxchg zero-extends what it gives, also where the comparison succeeds (RFC 9669, 5.3).
# Linux 6.18 on x86-64 gets the last two runs wrong, so its disagreement here is no fault of these engines.
# That processor leaves r0 as it was where the comparison succeeds, so Linux adds `w0 = w0`, but only where its verifier saw
# all of r0 read later; here it saw that on the path around `swap` and took the path through it for one already seen.
# run words=0,0xffffffff00000007 = 0xffffffff
# run words=1,0xffffffff00000007 = 0
# run words=2,0xffffffff00000007 = 0
.section raw_tracepoint
.globl main
main:
	r2 = *(u64 *)(r1 + 0)
	r0 = *(u64 *)(r1 + 8)
	*(u64 *)(r10 - 8) = r0
	r3 = 0
	r4 = 0
	r5 = 0
	if r2 == 1 goto swap
	if r2 == 2 goto swap
	goto join
swap:
	w0 = cmpxchg32_32(r10 - 8, w0, w2)
join:
	r0 >>= 32
	exit
