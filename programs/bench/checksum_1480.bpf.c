/* The Internet checksum (RFC 1071) of 1,480 bytes, by 16-bit words.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "bench.h"

#define SIZE 1480

BENCH(checksum_1480, SIZE)
{
	u32 sum = 0, i;

	for (i = 0; i < SIZE; i += 2)
		sum += load16(data + i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (u16)~sum;
}
