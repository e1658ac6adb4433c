# Addresses of data are constants; read-only and writable data.
# run words=1 = 0x202
# run words=1 = 0x203
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r1 = table + 8 ll
	r0 = *(u64 *)(r1 + 0)
	r2 = counter ll
	r3 = *(u64 *)(r2 + 0)
	r3 += r6
	*(u64 *)(r2 + 0) = r3
	r0 += r3
	exit
.rodata table
	.quad 0x100, 0x200
.data counter
	.quad 1
