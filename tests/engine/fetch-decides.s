# What a fetching atomic takes from the stack decides a branch, after two paths that left different words there.
# Linux 6.18 gets the last two runs wrong, so its disagreement here is no fault of these engines.
# Its verifier, asked why r0 decides the branch, follows r0 to what it was before the cmpxchg and not to the stack's word.
# So it takes the path through `eight` for one already seen, holds the branch for never taken, and removes it; 6.12.117 follows it to the stack.
# run words=0 = 1
# run words=1 = 2
# run words=2 = 2
.section raw_tracepoint
.globl main
main:
	r1 = *(u64 *)(r1 + 0)
	r0 = 0
	r2 = 0
	r3 = 0
	r4 = 0
	r5 = 0
	if r1 == 1 goto eight
	if r1 == 2 goto eight
	goto join
eight:
	r2 = 8
join:
	*(u64 *)(r10 - 8) = r2
	w0 = cmpxchg32_32(r10 - 8, w0, w3)
	if w0 & 8 goto set
	r0 = 1
	exit
set:
	r0 = 2
	exit
