/* Refuses bodies that begin with a zero byte, and blanks the first of the others.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>
#include "gateway.h"

HOOK_BODY
int mask(struct body *ctx)
{
	u8 *at = (void *)(long)ctx->bytes, *end = (void *)(long)ctx->bytes_end;

	if (at + 4 > end)
		return 0;
	if (!*at)
		return 1;
	at[0] = ' ';
	at[3] = ctx->rest;
	return 0;
}

LICENSE("proprietary");
