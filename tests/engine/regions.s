# Sections that a process need not be told of.
# run words=3 = 4
.license "GPL"
.section raw_tracepoint
.globl main
main:
    r6 = *(u64 *)(r1 + 0)
    kfunc bpf_rcu_read_lock
    kfunc bpf_preempt_disable
    r6 += 1
    kfunc bpf_preempt_enable
    kfunc bpf_rcu_read_unlock
    r1 = r10
    r1 += -8
    kfunc bpf_local_irq_save
    r1 = r10
    r1 += -8
    kfunc bpf_local_irq_restore
    r0 = r6
    exit
