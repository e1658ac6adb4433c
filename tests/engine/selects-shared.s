# A copy that more than one branch leads to, and one whose end a branch from elsewhere leads to.
# run words=0x1,0x0 = 0x4
# run words=0x0,0x2 = 0x9
# run words=0x0,0x3 = 0x4
# run words=0x1,0x2 = 0x4
# run words=0x7,0x2 = 0x13
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r7 = *(u64 *)(r1 + 8)
	r2 = 9
	if r6 == 1 goto copy
	if r7 == 2 goto on
copy:
	r2 = 4
on:
	r0 = 10
	if r6 == 7 goto end
	r0 = 0
end:
	r0 += r2
	exit
