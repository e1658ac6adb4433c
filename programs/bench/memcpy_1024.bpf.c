/* 1 KiB copied byte by byte.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "bench.h"

#define SIZE 1024

BENCH(memcpy_1024, 2 * SIZE)
{
	u32 i;

	for (i = 0; i < SIZE; i++)
		data[SIZE + i] = data[i];
	return data[2 * SIZE - 1];
}
