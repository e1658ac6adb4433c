# Legacy packet loads: network order, an index, and an exit with 0 outside of the packet.
# run packet=000102030405060708090a0b0800450000 = 0x800
# run packet=00 = 0
# run packet=000102030405060708090a0b0203450000 = 0x203
.section socket
.globl main
main:
	r6 = r1
	r0 = *(u16 *)skb[12]
	r7 = r0
	r8 = 1
	r0 = *(u8 *)skb[r8 + 2]
	if r0 != 3 goto wrong
	r0 = *(u32 *)skb[0]
	if r0 != 0x10203 goto wrong
	r0 = r7
	exit
wrong:
	r0 = 1
	exit
