# What does not change during a call is asked for once: in a loop, on one side of a branch only, in a subprogram.
# run words=0 = 0x303
# run words=7 = 0x303
.section raw_tracepoint
.globl main
main:
	r7 = *(u64 *)(r1 + 0)
	r8 = 0
	r9 = 0
	if r7 == 0 goto first
	call bpf_get_current_pid_tgid
	r6 = r0
	goto again
first:
	call task
	r6 = r0
again:
	call bpf_get_current_pid_tgid
	if r0 != r6 goto differs
	r8 += 1
	call bpf_get_smp_processor_id
	r7 = r0
	call processor
	if r0 != r7 goto differs
	r8 += 0x100
	r9 += 1
	if r9 != 3 goto again
	call bpf_get_numa_node_id
	if r0 != 0 goto differs
	r0 = r8
	exit
differs:
	r0 = -1
	exit
.text
task:
	call bpf_get_current_pid_tgid
	exit
processor:
	call bpf_get_smp_processor_id
	exit
