/* A machine of twelve operations that executes 256 bytes.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "bench.h"

#define SIZE 256

BENCH(switch_256, SIZE)
{
	u32 a = 1, b = 2, i;

	for (i = 0; i < SIZE; i++) {
		u8 op = data[i];

		switch (op & 15) {
		case 0: a += b; break;
		case 1: b ^= a; break;
		case 2: a = rotl32(a, 5); break;
		case 3: b -= i; break;
		case 4: a *= 33; break;
		case 5: b = a >> 3; break;
		case 6: a ^= op; break;
		case 7: b += a << 2; break;
		case 8: a = ~a; break;
		case 9: b |= i; break;
		case 10: a -= b; break;
		case 11: b *= 7; break;
		}
	}
	return a ^ b;
}
