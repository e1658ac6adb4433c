/* Counts system calls by number, without the cost of a tracepoint's record.
 * Raw tracepoint sys_enter (its second argument is the number), a per-CPU array.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

#define MAX_SYSCALLS 512

struct {
	uint(type, MAP_PERCPU_ARRAY);
	uint(max_entries, MAX_SYSCALLS);
	type_of(key, u32);
	type_of(value, u64);
} calls SEC(".maps");

/* 0: every process. Set before loading. */
const volatile u32 only_pid = 0;
u64 out_of_table = 0;

SEC("raw_tp/sys_enter")
int syscall_count(u64 *args)
{
	u32 number = args[1];
	u64 *count;

	if (only_pid && get_current_pid_tgid() >> 32 != only_pid)
		return 0;
	count = map_lookup_elem(&calls, &number);
	if (count)
		*count += 1;
	else
		__sync_fetch_and_add(&out_of_table, 1);
	return 0;
}

LICENSE("Dual MIT/GPL");
