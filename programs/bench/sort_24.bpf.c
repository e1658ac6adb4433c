/* 24 words of 32 bits sorted by insertion, into the memory after them.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "bench.h"

#define WORDS 24

BENCH(sort_24, 2 * WORDS * 4)
{
	const word32 *in = (void *)data;
	word32 *out = (void *)(data + WORDS * 4);
	u32 sum = 0, i, j;

	for (i = 0; i < WORDS; i++) {
		u32 x = in[i];

		for (j = i; j > 0 && out[j - 1] > x; j--)
			out[j] = out[j - 1];
		out[j] = x;
	}
	for (i = 0; i < WORDS; i++)
		sum = sum * 31 + out[i];
	return sum;
}
