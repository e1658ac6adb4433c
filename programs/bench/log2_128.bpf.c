/* The sum of the binary logarithms of 128 words of 64 bits, by halving.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "bench.h"

#define WORDS 128

BENCH(log2_128, WORDS * 8)
{
	u32 sum = 0, i;

	for (i = 0; i < WORDS; i++) {
		u64 x = load64(data + i * 8);
		u32 r, shift;

		r = (x > 0xffffffff) << 5;
		x >>= r;
		shift = (x > 0xffff) << 4;
		x >>= shift;
		r |= shift;
		shift = (x > 0xff) << 3;
		x >>= shift;
		r |= shift;
		shift = (x > 0xf) << 2;
		x >>= shift;
		r |= shift;
		shift = (x > 0x3) << 1;
		x >>= shift;
		r |= shift;
		sum += r | x >> 1;
	}
	return sum;
}
