/* Rule: a chain of calls may use 512 bytes of stack in all.
 * (Linux gives tracing programs a stack of their own for each function, other kinds not.)
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

static noinline u64 inner(u64 n)
{
	volatile u8 buffer[300];

	buffer[n & 255] = n; /* !! stack_depth */
	return buffer[(n + 1) & 255];
}

SEC("xdp")
int stack_too_deep(struct xdp_md *ctx)
{
	volatile u8 buffer[300];
	u32 n = ctx->rx_queue_index;

	buffer[n & 255] = 1;
	return (inner(n) + buffer[(n + 1) & 255]) & 1;
}

LICENSE("Dual MIT/GPL");
