# Comparisons with constant strings, as words: differences in every piece, in bytes that are signed or not, a NUL before the end.
# run words=0x6867666564636261,0x706f6e6d6c6b6a69 = 0x100
# run words=0x6867666564636261,0x706f6e6d6c6b6a68 = 0x1ff
# run words=0x6867666564636261,0x706f6e6d6c6b6aff = 0x101
# run words=0x6867666564636260,0xffffffffffffffff = 0xffffff
# run words=0x6867666564636262,0 = 0x010101
# run words=0x6867660064636261,0x706f6e6d6c6b6a69 = 0xffff
# run words=0x68676665646362ff,0x706f6e6d6c6b6a69 = 0x010101
# run words=0x0067666564636261,0x706f6e6d6c6b6a69 = 0xff
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r7 = *(u64 *)(r1 + 8)
	*(u64 *)(r10 - 16) = r6
	*(u64 *)(r10 - 8) = r7
	r1 = r10
	r1 += -16
	r2 = 16
	r3 = long ll
	call bpf_strncmp
	r8 = r0
	r8 &= 0xff
	r1 = r10
	r1 += -16
	r2 = 16
	r3 = short ll
	call bpf_strncmp
	r0 &= 0xff
	r0 <<= 8
	r8 |= r0
	r1 = values ll
	*(u64 *)(r1 + 0) = r6
	r2 = 3
	r3 = long ll
	call bpf_strncmp
	r0 &= 0xff
	r0 <<= 16
	r8 |= r0
	r0 = r8
	exit
.rodata long
	.quad 0x6867666564636261, 0x706f6e6d6c6b6a69, 0x7271
.rodata short
	.quad 0x0067666564636261
.data values
	.quad 0
