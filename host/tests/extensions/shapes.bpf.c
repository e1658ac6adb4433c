/* Exports that take a structure and the hook's own context.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>
#include "gateway.h"

#define EXPORT __attribute__((__noinline__, btf_decl_tag("probity:export")))

struct inner {
	u16 low, high;
};

struct shape {
	u32 sides;
	struct inner size;
	u8 name[8];
	u64 area;
};

/* Fills the area in, and gives the number of sides. */
EXPORT int shape_area(struct shape *of)
{
	if (!of)
		return -1;
	of->area = (u64)of->size.low * of->size.high;
	of->name[0] = 's';
	return of->sides;
}

/* Refuses with a status of its own. */
EXPORT int shape_refuse(struct request *ctx, u32 client)
{
	if (ctx->client != client)
		return 0;
	ctx->status = 451;
	return 1;
}

HOOK_REQUEST
int shapes(struct request *ctx)
{
	struct shape of = { .sides = 4 };
	int refused;

	if (ctx->method != 255)
		return 0;
	shape_area(&of);
	asm volatile("" : : "r"(&of) : "memory");
	refused = shape_refuse(ctx, 1);
	/* The compiler sees what it returns; whoever verifies the call does not. */
	asm volatile("" : "+r"(refused));
	return refused & 1;
}

LICENSE("Dual MIT/GPL");
