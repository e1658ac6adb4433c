/* The next version of limit: it counts what it refuses of each client, and has room for more of them.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>
#include "gateway.h"

struct client {
	u64 requests;
	u64 refused;
};

struct {
	uint(type, MAP_HASH);
	uint(max_entries, 128);
	type_of(key, u32);
	type_of(value, struct client);
} clients SEC(".maps");

const volatile u64 most = 8;
u64 passed;
u64 refused;

HOOK_REQUEST
int limit(struct request *ctx)
{
	struct client fresh = { 1, 0 }, *known;
	u32 key = ctx->client;

	known = map_lookup_elem(&clients, &key);
	if (!known) {
		map_update_elem(&clients, &key, &fresh, ANY);
		return 0;
	}
	if (++known->requests <= most) {
		passed++;
		return 0;
	}
	known->refused++;
	refused++;
	ctx->status = 429;
	gw_add("x-refused", 9, known->refused);
	return 1;
}

LICENSE("proprietary");
