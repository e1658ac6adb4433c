# An iterator's description of itself is promised, and so is what it is to write to, which is found behind it; its task is not.
# run words=0,0 = 0
# run words=0x1000,0x2000 = 1
.license "GPL"
.section iter/task
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r7 = *(u64 *)(r1 + 8)
	if r6 == 0 goto null
	r8 = *(u64 *)(r6 + 0)
	if r8 == 0 goto null
	r0 = 0
	if r7 == 0 goto done
	r0 = 1
done:
	exit
null:
	r0 = 1
	if r7 == 0 goto done
	r0 = 0
	exit
