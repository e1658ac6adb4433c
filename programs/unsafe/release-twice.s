// Rule: a record can be given back once.
.license "GPL"
.map ring kind=ringbuf max_entries=4096
.section "socket"
main:
	r1 = map ring ll
	r2 = 8
	r3 = 0
	call bpf_ringbuf_reserve
	if r0 == 0 goto out
	r6 = r0
	r1 = r6
	r2 = 0
	call bpf_ringbuf_discard
	r1 = r6
	r2 = 0
	call bpf_ringbuf_discard	// !! bad_argument
out:
	r0 = 0
	exit
