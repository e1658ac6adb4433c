/* CO-RE relocations: fields, their existence and size, enumerators, types. */
#include "bpf.h"
#define __core __attribute__((preserve_access_index))

struct task_struct {
	int pid;
	int tgid;
	struct task_struct *group_leader;
} __core;

struct task_struct___old {
	long state;
	int no_such_field;
} __core;

struct no_such_struct {
	int x;
} __core;

enum bpf_map_type___x {
	BPF_MAP_TYPE_ARRAY___x = 99,
	BPF_MAP_TYPE_NOT_THERE___x = 100,
};

SEC("kprobe/do_exit") int program(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_struct *leader;
	int sum = 0, tgid;

	bpf_probe_read_kernel(&tgid, 4, &task->tgid);
	bpf_probe_read_kernel(&leader, 8, &task->group_leader);
	sum += tgid + (leader == task);
	sum += __builtin_preserve_field_info(((struct task_struct *)0)->pid, 1);
	sum += __builtin_preserve_field_info(((struct task_struct___old *)0)->no_such_field, 2);
	sum += __builtin_preserve_type_info(*(struct no_such_struct *)0, 0);
	sum += __builtin_preserve_type_info(*(struct task_struct *)0, 1);
	sum += __builtin_preserve_enum_value(*(enum bpf_map_type___x *)BPF_MAP_TYPE_ARRAY___x, 1);
	sum += __builtin_preserve_enum_value(*(enum bpf_map_type___x *)BPF_MAP_TYPE_NOT_THERE___x, 0);
	return sum;
}

SEC("kprobe/do_exit") int poisoned(void *ctx)
{
	struct task_struct___old *task = (void *)bpf_get_current_task();
	int x = 0;

	if (__builtin_preserve_field_info(((struct task_struct___old *)0)->no_such_field, 2))
		bpf_probe_read_kernel(&x, 4, &task->no_such_field);
	return x;
}

char _license[] SEC("license") = "GPL";
