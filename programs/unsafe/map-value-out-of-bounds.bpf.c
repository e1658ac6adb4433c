/* Rule: an access must lie within the map's value.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

struct {
	uint(type, MAP_ARRAY);
	uint(max_entries, 1);
	type_of(key, u32);
	uint(value_size, 12);
} small SEC(".maps");

SEC("tracepoint/raw_syscalls/sys_enter")
int map_value_out_of_bounds(void *ctx)
{
	u32 key = 0;
	u32 *words = map_lookup_elem(&small, &key);

	if (!words)
		return 1;
	words[3] = 7; /* !! out_of_bounds */
	return 1;
}

LICENSE("Dual MIT/GPL");
