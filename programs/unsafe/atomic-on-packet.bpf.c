/* Rule: atomic operations work on the stack and on map values, not on packets.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

SEC("xdp")
int atomic_on_packet(struct xdp_md *ctx)
{
	u64 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + 1 > end)
		return XDP_PASS;
	__sync_fetch_and_add(data, 1); /* !! bad_pointer */
	return XDP_PASS;
}

LICENSE("Dual MIT/GPL");
