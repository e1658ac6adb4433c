/* 448 calls of two subprograms.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "bench.h"

#define CALLS 448

static noinline u32 mix(u32 a, u32 b)
{
	return (a ^ b) * 0x9e3779b1 + (a >> 15);
}

static noinline u32 step(u32 a, u32 b)
{
	if (b & 1)
		return a + b;
	return a ^ b << 3;
}

BENCH(calls_448, 8)
{
	u32 a = load32(data), b = load32(data + 4), i;

	for (i = 0; i < CALLS / 2; i++) {
		a = mix(a, b);
		b = step(b, a);
	}
	return a ^ b;
}
