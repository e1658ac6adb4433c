/* Rule: this context is read-only.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

SEC("kprobe/do_sys_openat2")
int context_write(struct pt_regs *ctx)
{
	*(volatile unsigned long *)&ctx->di = 0; /* !! context_access */
	return 0;
}

LICENSE("Dual MIT/GPL");
