/* Rule: a size that comes from outside must be bounded before a helper takes it.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

SEC("raw_tp/sys_enter")
int size_not_bounded(u64 *args)
{
	char buffer[64];

	probe_read_kernel(buffer, (u32)args[1], (void *)args[0]); /* !! out_of_bounds */
	return 0;
}

LICENSE("Dual MIT/GPL");
