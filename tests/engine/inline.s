# Subprograms translated in place, in a loop: each call's stack is new, each exit comes back, tables and
# lookups inside, a call from one in place.
# run words=10,1 = 0x1f
# run words=0,9 = 0x21
# run words=0xffffffffffffffff,3 = 0x4004
.map m kind=array key=4 value=8 max_entries=4
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r7 = *(u64 *)(r1 + 8)
	r8 = 0
	r9 = 0
again:
	r1 = r8
	r2 = r6
	r2 &= 0xff
	call slot
	r9 += r0
	r1 = r7
	call count
	r9 += r0
	r8 += 1
	if r8 != 3 goto again
	r1 = r7
	call outer
	r9 += r0
	if r6 s< 0 goto negative
	r0 = r9
	exit
negative:
	r9 &= 0
	r9 += r7
	r1 = r9
	call choose
	r0 += r9
	exit
.text
slot:
	if r1 != 0 goto read
	*(u64 *)(r10 - 8) = r2
read:
	r0 = *(u64 *)(r10 - 8)
	r0 += r1
	exit
count:
	r1 &= 7
	*(u32 *)(r10 - 4) = r1
	r2 = r10
	r2 += -4
	r1 = map m ll
	call bpf_map_lookup_elem
	if r0 == 0 goto missing
	r1 = *(u64 *)(r0 + 0)
	r1 += 1
	*(u64 *)(r0 + 0) = r1
	r0 = r1
	exit
missing:
	r0 = 2
	exit
outer:
	r6 = r1
	call choose
	r0 += r6
	exit
choose:
	if w1 s> 3 goto high
	if w1 == 0 goto zero
	if w1 == 1 goto one
	if w1 == 2 goto two
	if w1 == 3 goto three
	r0 = 5
	exit
high:
	if w1 == 4 goto zero
	if w1 == 5 goto one
	if w1 == 6 goto two
	r0 = 6
	exit
zero:
	r0 = 10
	exit
one:
	r0 = 11
	exit
two:
	r0 = 12
	exit
three:
	r0 = 0x4001
	exit
