# The exception callback gives the result.
# exception handler
# run packet=0000000000000000000000000000 = 5
# run packet=0000000000000000000000000000000000 = 1003
# run packet=00000000000000000000000000000000 = 1002
.license "GPL"
.section tc
.globl main
main:
    r2 = handler ll
    r6 = *(u32 *)(r1 + 0)
    r6 -= 14
    if r6 != 2 goto not_here
    r1 = r6
    kfunc bpf_throw
not_here:
    r1 = r6
    call inner
    r0 = 5
    exit
inner:
    if r1 == 0 goto back
    kfunc bpf_throw
back:
    r0 = 0
    exit
handler:
    *(u64 *)(r10 - 8) = r1
    r0 = *(u64 *)(r10 - 8)
    r0 += 1000
    exit
