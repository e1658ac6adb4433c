/* Calls exports with a structure and with its context. With -DOTHER its structure is another one.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>
#include "gateway.h"

struct inner {
	u16 low, high;
};

struct shape {
	u32 sides;
	struct inner size;
	u8 name[8];
	u64 area;
};

extern int shape_area(struct shape *of) __attribute__((section(".ksyms")));
extern int shape_refuse(struct request *ctx, u32 client) __attribute__((section(".ksyms")));

HOOK_REQUEST
int shaper(struct request *ctx)
{
	struct shape of = { .sides = 3, .size = { 6, 7 } };

	if (shape_area(&of) != 3 || of.area != 42 || of.name[0] != 's')
		return 2;
	return shape_refuse(ctx, 7) & 1;
}

LICENSE("Dual MIT/GPL");
