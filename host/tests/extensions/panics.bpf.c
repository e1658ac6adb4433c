/* Calls a function that fails as no function should.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>
#include "gateway.h"

HOOK_REQUEST
int panics(struct request *ctx)
{
	return gw_panics() == -14;
}

LICENSE("proprietary");
