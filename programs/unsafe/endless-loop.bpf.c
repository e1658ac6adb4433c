/* Rule: every loop must end.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

volatile u64 stop = 0;

SEC("raw_tp/sys_enter")
int endless_loop(u64 *args)
{
	while (!stop) /* !! unbounded */
		;
	return 0;
}

LICENSE("Dual MIT/GPL");
