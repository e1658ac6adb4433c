// Rule: r6 must hold the context where a packet is read the old way.
.license "GPL"
.section "socket"
main:
	r6 = 0
	r0 = *(u8 *)skb[0]	// !! bad_argument
	exit
