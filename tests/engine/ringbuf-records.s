# Records are finished in place, submitted or discarded; what they hold is written before, whatever its size.
# run words=1,5 = 48
# run words=0,5 = 48
# run words=1,7 = 48
.map ring kind=ringbuf max_entries=4096
.section raw_tracepoint
.globl main
main:
	r7 = *(u64 *)(r1 + 0)
	r8 = *(u64 *)(r1 + 8)
	r9 = 2
again:
	r1 = map ring ll
	r2 = 16
	r3 = 0
	call bpf_ringbuf_reserve
	if r0 == 0 goto end
	*(u64 *)(r0 + 0) = r8
	*(u32 *)(r0 + 8) = r9
	*(u32 *)(r0 + 12) = 7
	r1 = r0
	r2 = 0
	if r7 == 0 goto discard
	call bpf_ringbuf_submit
	goto next
discard:
	call bpf_ringbuf_discard
next:
	r8 += 1
	r9 += -1
	if r9 != 0 goto again
end:
	r1 = map ring ll
	r2 = 0
	call bpf_ringbuf_query
	exit
