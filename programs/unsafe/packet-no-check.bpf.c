/* Rule: a packet may only be read below data_end, and only after a comparison with it.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

SEC("xdp")
int packet_no_check(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	return eth->proto ? XDP_PASS : XDP_DROP; /* !! out_of_bounds */
}

LICENSE("Dual MIT/GPL");
