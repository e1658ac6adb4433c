/* Reports every program that is executed, through a ring buffer.
 * Tracepoint sched:sched_process_exec; its `filename` is a __data_loc string in the record.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

/* Only users from this id on; set before loading. */
const volatile u32 min_uid = 0;
/* How many events found the ring buffer full. */
u64 lost = 0;

struct event {
	u32 pid, ppid, uid, size;
	char comm[16];
	char filename[64];
};

struct {
	uint(type, MAP_RINGBUF);
	uint(max_entries, 256 * 1024);
} events SEC(".maps");

struct {
	uint(type, MAP_HASH);
	uint(max_entries, 1024);
	type_of(key, u32);
	type_of(value, u64);
} execs_by_uid SEC(".maps");

struct task_struct {
	int tgid;
	struct task_struct *real_parent;
} core;

/* The record as /sys/kernel/tracing/events/sched/sched_process_exec/format gives it. */
struct exec_record {
	u64 common;
	u32 filename_loc;
	s32 pid, old_pid;
};

static noinline void count_exec(u32 uid)
{
	u64 one = 1, *count = map_lookup_elem(&execs_by_uid, &uid);

	if (count)
		__sync_fetch_and_add(count, 1);
	else
		map_update_elem(&execs_by_uid, &uid, &one, NOEXIST);
}

/* A function of its own, so that `struct event` is among the object's types: readers decode by it. */
static noinline int describe(struct event *event, struct exec_record *record, u32 uid)
{
	struct task_struct *task = (void *)get_current_task(), *parent;

	parent = core_field(task, real_parent);
	event->pid = get_current_pid_tgid() >> 32;
	event->ppid = core_field(parent, tgid);
	event->uid = uid;
	event->size = sizeof(*event);
	get_current_comm(event->comm, sizeof(event->comm));
	/* __data_loc: offset in the record in the low half, length in the high half. */
	return probe_read_kernel_str(event->filename, sizeof(event->filename),
				     (char *)record + (record->filename_loc & 0xffff));
}

SEC("tracepoint/sched/sched_process_exec")
int exec_snoop(struct exec_record *ctx)
{
	u32 uid = (u32)get_current_uid_gid();
	struct event *event;

	if (uid < min_uid)
		return 1;
	count_exec(uid);
	event = ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&lost, 1);
		return 1;
	}
	describe(event, ctx, uid);
	ringbuf_submit(event, 0);
	return 1;
}

LICENSE("Dual MIT/GPL");
