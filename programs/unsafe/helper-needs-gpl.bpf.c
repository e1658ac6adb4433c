/* Rule: helpers that the kernel keeps for GPL-compatible programs need such a licence.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

SEC("tracepoint/raw_syscalls/sys_enter")
int helper_needs_gpl(void *ctx)
{
	u64 value;

	probe_read_kernel(&value, sizeof(value), ctx); /* !! license */
	return value & 1;
}

LICENSE("Proprietary");
