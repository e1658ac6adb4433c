/* Header rules: refuses scanners by their user agent, hides what is internal, and adds what browsers are to be told.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>
#include "gateway.h"

/* Names are given with their lengths; without the zero at the end. */
#define TEXT(text) text, sizeof(text) - 1

u64 scanners;

static always_inline int begins(const char *text, const char *with, u32 length)
{
	for (u32 i = 0; i < length; i++)
		if ((text[i] | 0x20) != with[i])
			return 0;
	return 1;
}

HOOK_REQUEST
int rules(struct request *ctx)
{
	char agent[16];
	s64 length = gw_header(TEXT("user-agent"), agent, sizeof(agent));

	if (length >= 6 && (begins(agent, "sqlmap", 6) || begins(agent, "masscan", 7) || begins(agent, "nikto/", 6))) {
		__sync_fetch_and_add(&scanners, 1);
		ctx->status = 403;
		return 1;
	}
	/* Only we say who is internal. */
	gw_remove_header(TEXT("x-internal"));
	gw_set_header(TEXT("x-gateway"), TEXT("probity"));
	return 0;
}

HOOK_RESPONSE
int answers(struct response *ctx)
{
	gw_remove_header(TEXT("server"));
	gw_remove_header(TEXT("x-powered-by"));
	gw_set_header(TEXT("x-content-type-options"), TEXT("nosniff"));
	if (ctx->microseconds > 1000000)
		gw_set_header(TEXT("x-slow"), TEXT("yes"));
	return 0;
}

LICENSE("Dual MIT/GPL");
