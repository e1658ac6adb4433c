# What an operation returns is what a program said last, cut to 32 bits; 0 before.
# run words=7 = 1
# run words=0xfffffffe = 1
.license "GPL"
.section cgroup/dev
.globl main
main:
	r6 = *(u32 *)(r1 + 0)
	call bpf_get_retval
	r7 = r0
	r1 = r6
	call bpf_set_retval
	r7 |= r0
	call bpf_get_retval
	r6 <<= 32
	r6 s>>= 32
	r0 -= r6
	r7 |= r0
	r0 = 0
	if r7 != 0 goto out
	r0 = 1
out:
	exit
