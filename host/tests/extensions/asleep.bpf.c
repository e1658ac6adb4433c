/* Exports a function that its own program never calls, as the verifier sees: what it would execute is counted nowhere.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>
#include "gateway.h"

#define EXPORT __attribute__((__noinline__, btf_decl_tag("probity:export")))

const volatile u32 awake = 0;

EXPORT int asleep_sum(u32 most)
{
	int sum = 0;

	for (u32 i = 0; i < (most & 0xffff); i++) {
		sum += i;
		__asm__ volatile("" : "+r"(sum));
	}
	return sum;
}

HOOK_REQUEST
int asleep(struct request *ctx)
{
	if (awake)
		return asleep_sum(ctx->client) & 1;
	return 0;
}
