/* Rule: an index that comes from outside must be bounded before it is added to a pointer.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

u8 table[256];

SEC("raw_tp/sys_enter")
int index_not_bounded(u64 *args)
{
	u64 number = args[1];

	table[number] = 1; /* !! out_of_bounds */
	return 0;
}

LICENSE("Dual MIT/GPL");
