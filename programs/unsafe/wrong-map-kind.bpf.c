/* Rule: each helper takes the map kinds it is made for.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

struct {
	uint(type, MAP_HASH);
	uint(max_entries, 16);
	type_of(key, u32);
	type_of(value, u64);
} counts SEC(".maps");

SEC("raw_tp/sys_enter")
int wrong_map_kind(u64 *args)
{
	tail_call(args, &counts, 0); /* !! map_kind */
	return 0;
}

LICENSE("Dual MIT/GPL");
