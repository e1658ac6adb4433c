/* Two strings of up to 255 bytes and their NUL compared.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "bench.h"

#define SIZE 256

BENCH(strcmp_255, 2 * SIZE)
{
	u32 i;

	for (i = 0; i < SIZE; i++) {
		u8 a = data[i], b = data[SIZE + i];

		if (a != b)
			return (a < b ? -1 : 1) * (s32)(i + 1);
		if (!a)
			return 0;
	}
	return TOO_SHORT;
}
