/* Rule: the first 8 bytes of a tracepoint's record are the kernel's own.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

SEC("tracepoint/raw_syscalls/sys_enter")
int tracepoint_common_fields(volatile u64 *ctx)
{
	return ctx[0] & 1; /* !! context_access */
}

LICENSE("Dual MIT/GPL");
