# A bounded loop over an unknown number of words on the stack, at variable offsets.
# run words=0 = 0
# run words=4 = 6
# run words=64 = 2016
# run words=100 = 2016
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	if r6 > 64 goto cap
	goto sized
cap:
	r6 = 64
sized:
	r0 = 0
	r1 = 0
again:
	if r1 >= r6 goto out
	if r1 >= 64 goto out
	r2 = r1
	r2 <<= 2
	r3 = r10
	r3 += -256
	r3 += r2
	*(u32 *)(r3 + 0) = r1
	w4 = *(u32 *)(r3 + 0)
	r0 += r4
	r1 += 1
	goto again
out:
	exit
