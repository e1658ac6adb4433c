# The file that a security hook is asked about is promised.
# run words=0,0 = 0
# run words=0x1000,0 = 0
.license "GPL"
.section lsm/file_open
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r0 = -1
	if r6 == 0 goto done
	r0 = *(u32 *)(r6 + 0)
	if r0 == 0 goto done
	r0 = -2
done:
	exit
