/* Rule: a cgroup program returns 0 or 1 (egress: up to 3).
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

SEC("cgroup_skb/ingress")
int return_value(struct __sk_buff *skb)
{
	return skb->len; /* !! return_value */
}

LICENSE("Dual MIT/GPL");
