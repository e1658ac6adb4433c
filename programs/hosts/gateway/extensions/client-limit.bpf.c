/* So many requests a second of each client; the clients heard of last are remembered.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>
#include "gateway.h"

struct client {
	u64 second;
	u64 requests;
};

struct address {
	u64 high, low;
};

struct {
	uint(type, MAP_LRU_HASH);
	uint(max_entries, 16384);
	type_of(key, struct address);
	type_of(value, struct client);
} clients SEC(".maps");

const volatile u64 per_second = 100;
u64 refused;

HOOK_REQUEST
int limit(struct request *ctx)
{
	struct address from = *(struct address *)ctx->client;
	u64 second = ktime_get_ns() / 1000000000;
	struct client fresh = { second, 1 }, *known = map_lookup_elem(&clients, &from);

	if (!known) {
		map_update_elem(&clients, &from, &fresh, ANY);
		return 0;
	}
	if (known->second != second) {
		known->second = second;
		known->requests = 1;
		return 0;
	}
	if (__sync_fetch_and_add(&known->requests, 1) < per_second)
		return 0;
	__sync_fetch_and_add(&refused, 1);
	ctx->status = 429;
	return 1;
}

LICENSE("Dual MIT/GPL");
