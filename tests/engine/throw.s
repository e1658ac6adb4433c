# What is thrown ends the program from anywhere in it.
# run packet=0000000000000000000000000000 = 7
# run packet=000000000000000000000000000000 = 0x1234
# run packet=00000000000000000000000000000000 = 42
.license "GPL"
.section tc
.globl main
main:
    r6 = *(u32 *)(r1 + 0)
    r6 -= 14
    r1 = r6
    call outer
    r0 = 7
    exit
.text
outer:
    if r1 == 0 goto fine
    r6 = r1
    r1 &= 1
    call inner
    if r6 == 2 goto second
fine:
    r0 = 1
    exit
second:
    r1 = 42
    kfunc bpf_throw
    r0 = 2
    exit
inner:
    if r1 == 0 goto back
    r1 = 0x1234
    kfunc bpf_throw
back:
    r0 = 0
    exit
