# bpf_loop calls a subprogram by its address; the callback adds up on its caller's stack.
# run words=10 = 45
# run words=0 = 0
# run words=100 = 190
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	*(u64 *)(r10 - 8) = 0
	r1 = r6
	r2 = add ll
	r3 = r10
	r3 += -8
	r4 = 0
	call bpf_loop
	r0 = *(u64 *)(r10 - 8)
	exit
.text
add:
	r3 = *(u64 *)(r2 + 0)
	r3 += r1
	*(u64 *)(r2 + 0) = r3
	r0 = 0
	if r1 < 19 goto more
	r0 = 1
more:
	exit
