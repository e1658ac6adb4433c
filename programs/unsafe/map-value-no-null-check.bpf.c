/* Rule: a lookup may give NULL, so its result must be compared with NULL before use.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

struct {
	uint(type, MAP_HASH);
	uint(max_entries, 16);
	type_of(key, u32);
	type_of(value, u64);
} counts SEC(".maps");

SEC("tracepoint/raw_syscalls/sys_enter")
int map_value_no_null_check(void *ctx)
{
	u32 key = 1;
	u64 *count = map_lookup_elem(&counts, &key);

	*count = 1; /* !! null_dereference */
	return 1;
}

LICENSE("Dual MIT/GPL");
