/* Is a number prime? Trial division of a 16-bit number by what is odd, up to its root.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "bench.h"

BENCH(prime, 8)
{
	u32 n = load32(data) & 0xffff, i;

	if (n < 4)
		return n > 1;
	if (!(n & 1))
		return 0;
	for (i = 3; i < 256; i += 2) {
		if (i * i > n)
			break;
		if (n % i == 0)
			return 0;
	}
	return 1;
}
