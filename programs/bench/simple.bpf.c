/* Two loads and an addition: what a call costs.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "bench.h"

BENCH(simple, 8)
{
	return load32(data) + load32(data + 4);
}
