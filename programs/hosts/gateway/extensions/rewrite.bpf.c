/* What was at /v1/ is at /api/ now; paths that climb out are refused.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>
#include "gateway.h"

#define LONGEST 512

u64 rewritten;

HOOK_REQUEST
int rewrite(struct request *ctx)
{
	u8 *target = (void *)(long)ctx->target, *end = (void *)(long)ctx->target_end;

	for (u32 i = 0; i < LONGEST && target + i + 2 <= end; i++) {
		if (target[i] == '?')
			break;
		if (target[i] == '.' && target[i + 1] == '.') {
			ctx->status = 400;
			return 1;
		}
	}
	if (target + 4 <= end && target[0] == '/' && target[1] == 'v' && target[2] == '1' && target[3] == '/') {
		__sync_fetch_and_add(&rewritten, 1);
		gw_replace_prefix(4, "/api/", 5);
	}
	return 0;
}

LICENSE("Dual MIT/GPL");
