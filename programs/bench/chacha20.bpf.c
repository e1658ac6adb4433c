/* One block of ChaCha20 (RFC 8439, 2.3): 64 bytes out of 48 of key, counter and nonce.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "bench.h"

#define QUARTER(a, b, c, d) do { \
	x[a] += x[b]; x[d] = rotl32(x[d] ^ x[a], 16); \
	x[c] += x[d]; x[b] = rotl32(x[b] ^ x[c], 12); \
	x[a] += x[b]; x[d] = rotl32(x[d] ^ x[a], 8); \
	x[c] += x[d]; x[b] = rotl32(x[b] ^ x[c], 7); \
} while (0)

BENCH(chacha20, 48 + 64)
{
	word32 *in = (void *)data, *out = (void *)(data + 48);
	u32 x[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 }, sum = 0, i;

#pragma unroll
	for (i = 0; i < 12; i++)
		x[4 + i] = in[i];
	for (i = 0; i < 10; i++) {
		QUARTER(0, 4, 8, 12);
		QUARTER(1, 5, 9, 13);
		QUARTER(2, 6, 10, 14);
		QUARTER(3, 7, 11, 15);
		QUARTER(0, 5, 10, 15);
		QUARTER(1, 6, 11, 12);
		QUARTER(2, 7, 8, 13);
		QUARTER(3, 4, 9, 14);
	}
	x[0] += 0x61707865;
	x[1] += 0x3320646e;
	x[2] += 0x79622d32;
	x[3] += 0x6b206574;
#pragma unroll
	for (i = 0; i < 12; i++)
		x[4 + i] += in[i];
#pragma unroll
	for (i = 0; i < 16; i++) {
		out[i] = x[i];
		sum ^= x[i];
	}
	return sum;
}
