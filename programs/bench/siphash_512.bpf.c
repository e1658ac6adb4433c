/* SipHash-2-4 (Aumasson and Bernstein) of 512 bytes, after a key of 16.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "bench.h"

#define SIZE 512

struct state {
	u64 v0, v1, v2, v3;
};

static always_inline void rounds(struct state *s, u32 n)
{
	while (n--) {
		s->v0 += s->v1;
		s->v1 = rotl64(s->v1, 13) ^ s->v0;
		s->v0 = rotl64(s->v0, 32);
		s->v2 += s->v3;
		s->v3 = rotl64(s->v3, 16) ^ s->v2;
		s->v0 += s->v3;
		s->v3 = rotl64(s->v3, 21) ^ s->v0;
		s->v2 += s->v1;
		s->v1 = rotl64(s->v1, 17) ^ s->v2;
		s->v2 = rotl64(s->v2, 32);
	}
}

BENCH(siphash_512, 16 + SIZE)
{
	u64 k0 = load64(data), k1 = load64(data + 8), last = (u64)SIZE << 56;
	struct state s = {
		k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
		k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573,
	};
	u32 i;

	for (i = 0; i < SIZE / 8; i++) {
		u64 m = load64(data + 16 + i * 8);

		s.v3 ^= m;
		rounds(&s, 2);
		s.v0 ^= m;
	}
	s.v3 ^= last;
	rounds(&s, 2);
	s.v0 ^= last;
	s.v2 ^= 0xff;
	rounds(&s, 4);
	return fold(s.v0 ^ s.v1 ^ s.v2 ^ s.v3);
}
