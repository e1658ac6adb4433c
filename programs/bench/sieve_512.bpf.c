/* The primes below 512, crossed out in a table of 512 bytes, and how many there are.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "bench.h"

#define SIZE 512

BENCH(sieve_512, SIZE)
{
	u32 count = 0, i, j;

	for (i = 0; i < SIZE; i++)
		data[i] = 1;
	for (i = 2; i < SIZE; i++) {
		if (!data[i])
			continue;
		count++;
		for (j = i + i; j < SIZE; j += i)
			data[j] = 0;
	}
	return count;
}
