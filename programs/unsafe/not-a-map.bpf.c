/* Rule: where a helper wants a map, nothing else will do.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

SEC("raw_tp/sys_enter")
int not_a_map(u64 *args)
{
	u64 key = 1;

	return map_lookup_elem(&key, &key) != NULL; /* !! bad_argument */
}

LICENSE("Dual MIT/GPL");
