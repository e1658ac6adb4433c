# The tasks of a typed tracepoint are promised: where the host has none they are not NULL, and what is read of them is 0. A number beside them stays 0.
# run words=0,0,0,0 = 0
# run words=0,0x1000,0x2000,0 = 0
# run words=5,0,0,0 = 5
.license "GPL"
.section tp_btf/sched_switch
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r7 = *(u64 *)(r1 + 8)
	r8 = *(u64 *)(r1 + 16)
	if r7 == 0 goto null
	if r8 != 0 goto there
null:
	r0 = 100
	exit
there:
	r0 = *(u64 *)(r7 + 0)
	r1 = *(u64 *)(r8 + 0)
	r0 |= r1
	r0 |= r6
	exit
