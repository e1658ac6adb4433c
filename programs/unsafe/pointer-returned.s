// Rule: a program must not return an address.
.license "GPL"
.section "cgroup_skb/ingress"
main:
	r0 = r10
	exit			// !! return_value
