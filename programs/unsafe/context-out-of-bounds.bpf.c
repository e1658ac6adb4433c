/* Rule: a context has the fields it has and no more.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

SEC("xdp")
int context_out_of_bounds(struct xdp_md *ctx)
{
	return ((volatile u32 *)ctx)[6] ? XDP_PASS : XDP_DROP; /* !! context_access */
}

LICENSE("Dual MIT/GPL");
