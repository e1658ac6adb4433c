/* Samples what every CPU runs: on-CPU time by process, split by user and kernel mode.
 * perf_event, a tail call through a program array, an LRU hash.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

struct perf_event_data {
	struct pt_regs regs;
	u64 sample_period, addr;
};

struct key {
	u32 pid;
	u32 kernel;
	char comm[16];
};

struct {
	uint(type, MAP_LRU_HASH);
	uint(max_entries, 8192);
	type_of(key, struct key);
	type_of(value, u64);
} samples SEC(".maps");

int sample_kernel(struct perf_event_data *ctx);
int sample_user(struct perf_event_data *ctx);

struct {
	uint(type, MAP_PROG_ARRAY);
	uint(max_entries, 2);
	uint(key_size, sizeof(u32));
	values(int (struct perf_event_data *));
} modes SEC(".maps") = {
	.values = { (void *)&sample_user, (void *)&sample_kernel },
};

u64 idle = 0;

static always_inline int sample(u32 pid, u32 kernel)
{
	struct key key = { pid, kernel, {} };
	u64 one = 1, *count;

	get_current_comm(key.comm, sizeof(key.comm));
	count = map_lookup_elem(&samples, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		map_update_elem(&samples, &key, &one, NOEXIST);
	return 0;
}

SEC("perf_event")
int sample_user(struct perf_event_data *ctx)
{
	return sample(get_current_pid_tgid() >> 32, 0);
}

SEC("perf_event")
int sample_kernel(struct perf_event_data *ctx)
{
	return sample(get_current_pid_tgid() >> 32, 1);
}

SEC("perf_event")
int cpu_profile(struct perf_event_data *ctx)
{
	if (!(get_current_pid_tgid() >> 32)) {
		__sync_fetch_and_add(&idle, 1);
		return 0;
	}
	/* The lowest two bits of cs are the privilege level: 3 in user mode. */
	tail_call(ctx, &modes, (ctx->regs.cs & 3) == 0);
	return 0;
}

LICENSE("Dual MIT/GPL");
