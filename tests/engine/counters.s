# Loops whose exit compares the counter before and after its step, up, down and by more than one.
# run words=3 = 0x4020701
# run words=0 = 0x4010701
# run words=0xffffffffffffffff = 0x4020701
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r6 &= 3
	r7 = 1
	r1 = 0
up:
	r1 += 1
	if r1 != 7 goto up
	r1 <<= 8
	r7 |= r1
	# Compared before its step; a jump to a jump leads back.
	r1 = 0
	r2 = 0
old:
	r3 = r1
	r1 += 1
	r2 += r3
	if r3 == r6 goto out
	if r3 == 9 goto out
	goto back
back:
	goto old
out:
	if r6 == 3 goto three
	if r6 == 0 goto none
three:
	r1 = 2
	goto add
none:
	r1 = 1
add:
	r2 &= 0
	r1 += r2
	r1 <<= 16
	r7 |= r1
	# Down in 32 bits, past zero.
	w1 = 6
	r2 = 0
down:
	w1 += -2
	r2 += 1
	if w1 != -2 goto down
	if r6 != 3 goto end
	r3 = *(u64 *)(r10 - 8)
	r2 += r3
end:
	r2 <<= 24
	r7 |= r2
	r0 = r7
	exit
