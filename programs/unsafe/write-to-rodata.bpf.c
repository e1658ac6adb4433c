/* Rule: constant data may not be written.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

const volatile u64 limit = 10;

SEC("raw_tp/sys_enter")
int write_to_rodata(u64 *args)
{
	*(volatile u64 *)&limit = 11; /* !! read_only */
	return 0;
}

LICENSE("Dual MIT/GPL");
