# The numbers from one up to another, and none where there are too many or too few.
# run words=2,7 = 0x0100000000000014
# run words=7,2 = 0xeb00000000000000
# run words=5,5 = 0x0100000000000000
# run words=0,0x800001 = 0xfa00000000000000
# run words=-3,0 = 0x01000002fffffffa
# run words=0x7ffffffd,0x7fffffff = 0x01000000fffffffb
.license "GPL"
.section raw_tracepoint
.globl main
main:
    r7 = *(u64 *)(r1 + 0)
    r8 = *(u64 *)(r1 + 8)
    r6 = 0
    r1 = r10
    r1 += -8
    r2 = r7
    r3 = r8
    kfunc bpf_iter_num_new
    w9 = w0
    r9 = (s32)r9
    *(u64 *)(r10 - 16) = 1
again:
    r1 = r10
    r1 += -8
    kfunc bpf_iter_num_next
    if r0 == 0 goto out
    r1 = *(u32 *)(r0 + 0)
    r6 += r1
    goto again
out:
    r1 = r10
    r1 += -8
    kfunc bpf_iter_num_destroy
    r1 = *(u64 *)(r10 - 16)
    r9 += r1
    r9 <<= 56
    r6 <<= 8
    r6 >>= 8
    r6 |= r9
    r0 = r6
    exit
