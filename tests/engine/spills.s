# Spilled pointers come back; a slot that two branches write differently.
# run words=1,5 = 6
# run words=0,5 = 105
.section raw_tracepoint
.globl main
main:
	*(u64 *)(r10 - 8) = r1
	r2 = *(u64 *)(r1 + 0)
	if r2 == 0 goto zero
	*(u64 *)(r10 - 16) = 1
	goto join
zero:
	*(u64 *)(r10 - 16) = 100
join:
	r3 = *(u64 *)(r10 - 8)
	r0 = *(u64 *)(r3 + 8)
	r4 = *(u64 *)(r10 - 16)
	r0 += r4
	exit
