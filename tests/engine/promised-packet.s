# The state and the packet of a netfilter hook are promised.
# run words=0,0 = 1
# run words=0x1000,0 = 1
.license "GPL"
.section netfilter
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r7 = *(u64 *)(r1 + 8)
	r0 = 0
	if r6 == 0 goto done
	if r7 == 0 goto done
	r0 = 1
done:
	exit
