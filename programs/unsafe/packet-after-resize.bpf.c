/* Rule: a helper that may move the packet makes every packet pointer invalid.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

static long (*const xdp_adjust_head)(struct xdp_md *ctx, int delta) = (void *)44;

SEC("xdp")
int packet_after_resize(struct xdp_md *ctx)
{
	u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + 64 > end)
		return XDP_PASS;
	xdp_adjust_head(ctx, 8);
	return data[0] ? XDP_PASS : XDP_DROP; /* !! bad_pointer */
}

LICENSE("Dual MIT/GPL");
