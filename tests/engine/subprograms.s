# Calls: arguments, a pointer to the caller's stack, registers that survive, two levels.
# run words=3,4 = 81
# run words=0,0 = 20
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r7 = *(u64 *)(r1 + 8)
	*(u64 *)(r10 - 16) = 5
	r1 = r6
	r2 = r7
	r3 = r10
	r3 += -16
	call outer
	r0 += r6
	r0 += r7
	r1 = *(u64 *)(r10 - 16)
	r0 += r1
	exit
outer:
	r6 = r3
	r7 = r1
	r1 *= r2
	*(u64 *)(r10 - 8) = r1
	call inner
	r1 = *(u64 *)(r10 - 8)
	r0 += r1
	r0 += r7
	r2 = *(u64 *)(r6 + 0)
	r2 += r0
	*(u64 *)(r6 + 0) = r2
	r0 = r2
	exit
inner:
	r0 = r1
	r0 += 5
	r1 = 0
	exit
