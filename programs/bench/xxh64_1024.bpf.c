/* xxHash64 (Collet) of 1 KiB, seed 0.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "bench.h"

#define SIZE 1024

#define P1 0x9e3779b185ebca87
#define P2 0xc2b2ae3d27d4eb4f
#define P3 0x165667b19e3779f9
#define P4 0x85ebca77c2b2ae63

static always_inline u64 lane(u64 acc, u64 word)
{
	return rotl64(acc + word * P2, 31) * P1;
}

static always_inline u64 merge(u64 hash, u64 acc)
{
	return (hash ^ lane(0, acc)) * P1 + P4;
}

BENCH(xxh64_1024, SIZE)
{
	u64 a = P1 + P2, b = P2, c = 0, d = -P1, h;
	u32 i;

	for (i = 0; i < SIZE; i += 32) {
		a = lane(a, load64(data + i));
		b = lane(b, load64(data + i + 8));
		c = lane(c, load64(data + i + 16));
		d = lane(d, load64(data + i + 24));
	}
	h = rotl64(a, 1) + rotl64(b, 7) + rotl64(c, 12) + rotl64(d, 18);
	h = merge(merge(merge(merge(h, a), b), c), d) + SIZE;
	h = (h ^ h >> 33) * P2;
	h = (h ^ h >> 29) * P3;
	return fold(h ^ h >> 32);
}
