# The arguments of a kernel function are promised to nobody: NULL is NULL.
# run words=0,0 = -1
# run words=0x1000,0 = 0
.license "GPL"
.section fmod_ret/security_file_open
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r0 = -1
	if r6 == 0 goto done
	r0 = *(u32 *)(r6 + 0)
done:
	exit
