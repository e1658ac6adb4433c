/* Helpers, one call for each of 64 words; tail calls, one after another.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "ops.h"

static long (*const strncmp_)(const char *a, u32 size, const char *b) = (void *)182;

/* A text to read and compare. */
char text[64] = "a text of some length, as paths and names are: /usr/lib/locale";
const char other_text[64] = "a text of some length, as paths and names are: /usr/lib/modules";

OPS(ktime_64)
{
	return ktime_get_ns() != 0;
}

OPS(pid_tgid_64)
{
	return get_current_pid_tgid() != 1;
}

OPS(cpu_64)
{
	return get_smp_processor_id() < 4096;
}

OPS(probe_read_64)
{
	u64 got[2] = {};

	probe_read_kernel(got, sizeof(got), &text[word & 31]);
	return got[0] + got[1];
}

OPS(probe_str_64)
{
	char got[64];

	return probe_read_kernel_str(got, sizeof(got), &text[word & 31]);
}

OPS(strncmp_64)
{
	return strncmp_(text, sizeof(text), other_text) < 0;
}

int tail_hop(struct xdp_md *ctx);

struct {
	uint(type, MAP_PROG_ARRAY);
	uint(max_entries, 1);
	uint(key_size, 4);
	values(int (void *));
} hops SEC(".maps") = {
	.values = { (void *)&tail_hop },
};

/* 32 tail calls, counted in the packet. */
SEC("xdp") int tail_hop(struct xdp_md *ctx)
{
	u32 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end, n;

	if (data + 1 > end)
		return -1;
	n = ++*data;
	if (n < 32)
		tail_call(ctx, &hops, 0);
	return n;
}

SEC("xdp") int tail_32(struct xdp_md *ctx)
{
	u32 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + 1 > end)
		return -1;
	*data = 0;
	tail_call(ctx, &hops, 0);
	return -1;
}

LICENSE("Dual MIT/GPL");
