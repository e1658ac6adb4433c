/* How long opening a file takes: a histogram in powers of two of nanoseconds.
 * kprobe and kretprobe on do_sys_openat2, a hash by thread, a per-CPU array of buckets.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

#define BUCKETS 40

struct {
	uint(type, MAP_HASH);
	uint(max_entries, 10240);
	type_of(key, u32);
	type_of(value, u64);
} starts SEC(".maps");

struct {
	uint(type, MAP_PERCPU_ARRAY);
	uint(max_entries, BUCKETS);
	type_of(key, u32);
	type_of(value, u64);
} latency SEC(".maps");

/* Calls that failed, and calls that returned. */
u64 failed = 0, returned = 0;

/* floor(log2(value)); 0 for 0. */
static noinline u32 log2(u64 value)
{
	u32 shift, result = 0;

	for (shift = 32; shift; shift >>= 1) {
		if (value >> shift) {
			value >>= shift;
			result += shift;
		}
	}
	return result;
}

SEC("kprobe/do_sys_openat2")
int open_enter(struct pt_regs *ctx)
{
	u32 tid = (u32)get_current_pid_tgid();
	u64 now = ktime_get_ns();

	map_update_elem(&starts, &tid, &now, ANY);
	return 0;
}

SEC("kretprobe/do_sys_openat2")
int open_return(struct pt_regs *ctx)
{
	u32 tid = (u32)get_current_pid_tgid(), bucket;
	u64 *start = map_lookup_elem(&starts, &tid), *count;

	if (!start)
		return 0;
	bucket = log2(ktime_get_ns() - *start);
	map_delete_elem(&starts, &tid);
	if (bucket >= BUCKETS)
		bucket = BUCKETS - 1;
	count = map_lookup_elem(&latency, &bucket);
	if (count)
		*count += 1;
	if ((long)RET(ctx) < 0)
		__sync_fetch_and_add(&failed, 1);
	__sync_fetch_and_add(&returned, 1);
	return 0;
}

LICENSE("Dual MIT/GPL");
