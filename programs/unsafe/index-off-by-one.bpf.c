/* Rule: a bound must exclude the first byte behind the object.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

u8 table[256];

SEC("raw_tp/sys_enter")
int index_off_by_one(u64 *args)
{
	u64 number = args[1];

	if (number > sizeof(table))
		return 0;
	table[number] = 1; /* !! out_of_bounds */
	return 0;
}

LICENSE("Dual MIT/GPL");
