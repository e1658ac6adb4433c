/* Sizes asked of malloc, and how often it fails, per process.
 * uprobe and uretprobe on the C library, a hash, a perf event array for large requests.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

struct totals {
	u64 calls, bytes, failures, largest;
};

struct {
	uint(type, MAP_HASH);
	uint(max_entries, 4096);
	type_of(key, u32);
	type_of(value, struct totals);
} by_process SEC(".maps");

struct large {
	u64 size;
	u32 pid, tid;
	char comm[16];
};

struct {
	uint(type, MAP_PERF_EVENT_ARRAY);
	uint(key_size, sizeof(u32));
	uint(value_size, sizeof(u32));
} large_requests SEC(".maps");

/* Requests of at least so many bytes are reported one by one. */
const volatile u64 report_from = 1 << 20;

/* A function of its own, so that `struct large` is among the object's types: readers decode by it. */
static noinline int report(struct pt_regs *ctx, struct large *large)
{
	get_current_comm(large->comm, sizeof(large->comm));
	return perf_event_output(ctx, &large_requests, F_CURRENT_CPU, large, sizeof(*large));
}

SEC("uprobe/libc.so.6:malloc")
int malloc_enter(struct pt_regs *ctx)
{
	u64 size = ARG1(ctx), id = get_current_pid_tgid();
	u32 pid = id >> 32;
	struct totals fresh = { 1, size, 0, size }, *t = map_lookup_elem(&by_process, &pid);

	if (t) {
		__sync_fetch_and_add(&t->calls, 1);
		__sync_fetch_and_add(&t->bytes, size);
		if (size > t->largest)
			t->largest = size;
	} else {
		map_update_elem(&by_process, &pid, &fresh, NOEXIST);
	}
	if (size >= report_from) {
		struct large large = { size, pid, (u32)id, {} };

		report(ctx, &large);
	}
	return 0;
}

SEC("uretprobe/libc.so.6:malloc")
int malloc_return(struct pt_regs *ctx)
{
	u32 pid = get_current_pid_tgid() >> 32;
	struct totals *t;

	if (RET(ctx))
		return 0;
	t = map_lookup_elem(&by_process, &pid);
	if (t)
		__sync_fetch_and_add(&t->failures, 1);
	return 0;
}

LICENSE("Dual MIT/GPL");
