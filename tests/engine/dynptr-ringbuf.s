# A dynptr of a ring buffer's record: made or not, it is submitted, and empty after that.
# run words=8,3 = 3
# run words=0x1000,3 = -22
.map ring kind=ringbuf max_entries=4096
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r7 = *(u64 *)(r1 + 8)
	*(u64 *)(r10 - 40) = r7
	*(u64 *)(r10 - 32) = 0
	r1 = map ring ll
	r2 = r6
	r3 = 0
	r4 = r10
	r4 += -24
	call bpf_ringbuf_reserve_dynptr
	r8 = r0
	if r0 != 0 goto end
	r1 = r10
	r1 += -24
	r2 = 0
	r3 = r10
	r3 += -40
	r4 = 8
	r5 = 0
	call bpf_dynptr_write
	r8 = r0
	if r0 != 0 goto end
	r1 = r10
	r1 += -32
	r2 = 8
	r3 = r10
	r3 += -24
	r4 = 0
	r5 = 0
	call bpf_dynptr_read
	r8 = *(u64 *)(r10 - 32)
end:
	r1 = r10
	r1 += -24
	r2 = 0
	call bpf_ringbuf_submit_dynptr
	r0 = r8
	exit
