/* Rule: a subprogram may not call itself, directly or through others.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

static noinline u64 down(u64 n)
{
	volatile u64 here = n;

	return n < 2 ? here : here + down(n - 1) * down(n - 2); /* !! recursion */
}

SEC("raw_tp/sys_enter")
int recursion(u64 *args)
{
	return down(args[1]) & 1;
}

LICENSE("Dual MIT/GPL");
