# Every fetching atomic at both widths, on the stack: old values in order, folded into one number.
# run words=0x10,3 = 0xea62ce
# run words=0xfffffffffffffff0,0x20 = 0xff2685f0
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r7 = *(u64 *)(r1 + 8)
	*(u64 *)(r10 - 8) = r6
	r0 = 0
	r2 = r7
	r2 = atomic_fetch_add((u64 *)(r10 - 8), r2)
	r0 += r2
	r2 = r7
	r2 = atomic_fetch_or((u64 *)(r10 - 8), r2)
	r0 *= 31
	r0 += r2
	r2 = r7
	r2 = atomic_fetch_and((u64 *)(r10 - 8), r2)
	r0 *= 31
	r0 += r2
	r2 = r7
	r2 = atomic_fetch_xor((u64 *)(r10 - 8), r2)
	r0 *= 31
	r0 += r2
	r2 = r6
	r2 = xchg_64(r10 - 8, r2)
	r0 *= 31
	r0 += r2
	w2 = w7
	w2 = atomic_fetch_add((u32 *)(r10 - 8), w2)
	r0 += r2
	lock *(u32 *)(r10 - 4) += w7
	r2 = *(u64 *)(r10 - 8)
	r0 ^= r2
	w0 = w0
	exit
