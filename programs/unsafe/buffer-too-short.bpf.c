/* Rule: the memory given to a helper must be as large as the size given with it.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

SEC("tracepoint/raw_syscalls/sys_enter")
int buffer_too_short(void *ctx)
{
	char comm[8];

	get_current_comm(comm, 16); /* !! out_of_bounds */
	return comm[0];
}

LICENSE("Dual MIT/GPL");
