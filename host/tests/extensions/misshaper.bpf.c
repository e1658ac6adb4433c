/* Declares an export with a structure that is another one: shorter, and with its members in other places.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>
#include "gateway.h"

struct shape {
	u64 area;
	u32 sides;
};

extern int shape_area(struct shape *of) __attribute__((section(".ksyms")));

HOOK_REQUEST
int misshaper(struct request *ctx)
{
	struct shape of = { .sides = 3 };

	return shape_area(&of) & 1;
}

LICENSE("Dual MIT/GPL");
