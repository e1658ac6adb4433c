/* So many requests a client, but for internal ones.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>
#include "gateway.h"

struct client {
	u64 requests;
};

struct {
	uint(type, MAP_HASH);
	uint(max_entries, 64);
	type_of(key, u32);
	type_of(value, struct client);
} clients SEC(".maps");

const volatile u64 most = 5;
u64 refused;

HOOK_REQUEST
int limit(struct request *ctx)
{
	struct client fresh = { 1 }, *known;
	char agent[16];
	u32 key = ctx->client;

	if (gw_header("x-internal", 10, agent, sizeof(agent)) > 0 && agent[0] == 'y')
		return 0;
	known = map_lookup_elem(&clients, &key);
	if (!known) {
		map_update_elem(&clients, &key, &fresh, ANY);
		return 0;
	}
	if (++known->requests <= most)
		return 0;
	refused++;
	ctx->status = 429;
	return 1;
}

LICENSE("proprietary");
