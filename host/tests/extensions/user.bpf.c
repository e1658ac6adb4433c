/* Refuses a client's fourth request, which another extension counts.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>
#include "gateway.h"

extern int shared_note(u32 client, u64 *total) __attribute__((section(".ksyms")));

HOOK_REQUEST
int user(struct request *ctx)
{
	u64 total = 0;

	shared_note(ctx->client, &total);
	return total > 3;
}
