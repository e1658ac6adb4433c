/* Rule: the comparison with data_end must cover every byte that is read.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

SEC("xdp")
int packet_check_short(struct xdp_md *ctx)
{
	u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = (void *)(data + sizeof(struct ethhdr));

	if (data + sizeof(struct ethhdr) > end)
		return XDP_PASS;
	return ip->protocol == PROTO_UDP ? XDP_DROP : XDP_PASS; /* !! out_of_bounds */
}

LICENSE("Dual MIT/GPL");
