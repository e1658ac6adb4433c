/* Rule: each kind of program may call the helpers that make sense for it and no others.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

static long (*const xdp_adjust_head)(void *ctx, int delta) = (void *)44;

SEC("socket")
int helper_not_allowed(struct __sk_buff *skb)
{
	xdp_adjust_head(skb, 4); /* !! call_not_allowed */
	return 0;
}

LICENSE("Dual MIT/GPL");
