/* A filter as gateways have it: no way out of the tree or into /admin, no scanners, so many requests a client.
 * It is compiled to WebAssembly too, to be measured beside itself; there, counting clients is the gateway's to do.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifdef __wasm__
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int s32;
typedef unsigned long long u64;
typedef long long s64;
#define SEC(name) __attribute__((export_name("guard")))
#define __ksym
#define always_inline inline __attribute__((always_inline))
#else
#include <probity/bpf.h>
#endif
#include "gateway.h"

#define LONGEST 256
#define MOST 1000000000000ULL

#ifdef __wasm__
extern u64 count_client(const u8 *client);
#else
struct address {
	u64 high, low;
};

struct {
	uint(type, MAP_LRU_HASH);
	uint(max_entries, 16384);
	type_of(key, struct address);
	type_of(value, u64);
} clients SEC(".maps");

static always_inline u64 count_client(const u8 *client)
{
	struct address from = *(struct address *)client;
	u64 first = 1, *count = map_lookup_elem(&clients, &from);

	if (count)
		return __sync_fetch_and_add(count, 1);
	map_update_elem(&clients, &from, &first, ANY);
	return 0;
}
#endif

HOOK_REQUEST
int guard(struct request *ctx)
{
	u8 *target = (void *)(long)ctx->target, *end = (void *)(long)ctx->target_end;
	char agent[8];

	for (u32 i = 0; i < LONGEST && target + i + 2 <= end; i++) {
		if (target[i] == '?')
			break;
		if (target[i] == '.' && target[i + 1] == '.')
			goto refuse;
	}
	if (target + 6 <= end && target[1] == 'a' && target[2] == 'd' && target[3] == 'm' && target[4] == 'i' && target[5] == 'n')
		goto refuse;
	if (gw_header("user-agent", 10, agent, sizeof(agent)) >= 6 && agent[0] == 's' && agent[1] == 'q' &&
	    agent[2] == 'l' && agent[3] == 'm' && agent[4] == 'a' && agent[5] == 'p')
		goto refuse;
	if (count_client(ctx->client) > MOST) {
		ctx->status = 429;
		return 1;
	}
	return 0;
refuse:
	ctx->status = 403;
	return 1;
}

#ifdef __wasm__
/* Where the gateway puts a request, and its target behind it. */
static struct {
	struct request request;
	u8 target[4096];
} place;

__attribute__((export_name("place"))) void *where(void)
{
	return &place;
}
#endif

#ifndef __wasm__
LICENSE("Dual MIT/GPL");
#endif
