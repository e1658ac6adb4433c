/* Rule: a signed comparison with the upper bound leaves negative indexes.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

u8 table[256];

SEC("raw_tp/sys_enter")
int index_signed(u64 *args)
{
	s64 number = args[1];

	if (number > 255)
		return 0;
	table[number] = 1; /* !! out_of_bounds */
	return 0;
}

LICENSE("Dual MIT/GPL");
