# Trees of comparisons: signed and unsigned tests, numbers with no entry of their own, and beside the table.
# run words=0 = 100
# run words=1 = 101
# run words=2 = 102
# run words=3 = 103
# run words=4 = 199
# run words=5 = 105
# run words=6 = 106
# run words=0xffffffff = 198
# run words=0x80000000 = 198
# run words=0x100000003 = 103
# run words=7 = 199
# run words=1000000 = 199
.section raw_tracepoint
.globl main
main:
	r1 = *(u64 *)(r1 + 0)
	if w1 s> 2 goto high
	if w1 == 1 goto one
	if w1 == 2 goto two
	if w1 != 0 goto below
	r0 = 100
	exit
one:
	r0 = 101
	exit
two:
	r0 = 102
	exit
high:
	if w1 > 6 goto other
	if w1 == 3 goto three
	if w1 == 5 goto five
	if w1 == 6 goto six
	goto other
three:
	r0 = 103
	exit
five:
	r0 = 105
	exit
six:
	r0 = 106
	exit
below:
	r0 = 198
	exit
other:
	r0 = 199
	exit
