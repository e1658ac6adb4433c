/* Addresses of kernel symbols without a type: of one that is there, of one that may be missing.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

#define __ksym __attribute__((section(".ksyms")))

extern const void do_exit __ksym;
extern const void no_kernel_has_this __ksym weak;

struct {
	uint(type, MAP_ARRAY);
	uint(max_entries, 2);
	type_of(key, u32);
	type_of(value, u64);
} addresses SEC(".maps");

SEC("raw_tracepoint/sys_enter")
int look(void *ctx)
{
	u32 first = 0, second = 1;
	u64 there = (u64)&do_exit, missing = (u64)&no_kernel_has_this + 1;

	map_update_elem(&addresses, &first, &there, ANY);
	map_update_elem(&addresses, &second, &missing, ANY);
	return 0;
}

LICENSE("Dual MIT/GPL");
