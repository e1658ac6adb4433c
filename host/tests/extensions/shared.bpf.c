/* Counts of clients that several extensions share: it exports what they ask and tell it.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>
#include "gateway.h"

#define EXPORT __attribute__((__noinline__, btf_decl_tag("probity:export")))

struct {
	uint(type, MAP_HASH);
	uint(max_entries, 64);
	type_of(key, u32);
	type_of(value, u64);
} seen SEC(".maps");

/* Counts a client's request; how many there were goes where `total` points. */
EXPORT int shared_note(u32 client, u64 *total)
{
	u64 first = 1, *known;

	if (!total)
		return -1;
	known = map_lookup_elem(&seen, &client);
	if (known) {
		*total = ++*known;
		return 0;
	}
	map_update_elem(&seen, &client, &first, ANY);
	*total = 1;
	return 1;
}

HOOK_REQUEST
int shared(struct request *ctx)
{
	/* The compiler sees that what it holds is not read; whoever verifies the call does not. */
	volatile u64 total = 0;

	if (ctx->method == 255)
		shared_note(ctx->client, (u64 *)&total);
	return 0;
}
