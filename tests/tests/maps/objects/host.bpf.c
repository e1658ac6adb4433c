// What needs a host's part: a timer, records from the host, storage by task, a cgroup array.
// Built by: cargo xtask programs --write
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name

struct bpf_timer {
	u64 : 64;
	u64 : 64;
} __attribute__((aligned(8)));
struct bpf_dynptr;
struct task_struct;

static void *(*const lookup)(void *map, const void *key) = (void *)1;
static long (*const delete)(void *map, const void *key) = (void *)3;
static long (*const update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static struct task_struct *(*const current_task)(void) = (void *)158;
static void *(*const task_storage)(void *map, struct task_struct *task, void *value,
				   u64 flags) = (void *)156;
static long (*const task_storage_delete)(void *map, struct task_struct *task) = (void *)157;
static long (*const timer_init)(struct bpf_timer *timer, void *map, u64 flags) = (void *)169;
static long (*const timer_set_callback)(struct bpf_timer *timer, void *callback) = (void *)170;
static long (*const timer_start)(struct bpf_timer *timer, u64 ns, u64 flags) = (void *)171;
static long (*const timer_cancel)(struct bpf_timer *timer) = (void *)172;
static long (*const dynptr_read)(void *to, u32 len, const struct bpf_dynptr *from, u32 offset,
				 u64 flags) = (void *)201;
static long (*const drain)(void *ring, void *callback, void *ctx, u64 flags) = (void *)209;
static long (*const under_cgroup)(void *map, u32 index) = (void *)37;

char _license[] SEC("license") = "Dual MIT/GPL";

struct clocked {
	u64 fired;
	struct bpf_timer timer;
	u64 again;
};

struct {
	__uint(type, 1);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, struct clocked);
} timers SEC(".maps");

struct {
	__uint(type, 31);
	__uint(max_entries, 4096);
} records SEC(".maps");

struct {
	__uint(type, 29);
	__uint(map_flags, 1);
	__type(key, int);
	__type(value, u64);
} tasks SEC(".maps");

struct {
	__uint(type, 8);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__uint(value_size, 4);
} groups SEC(".maps");

u64 errors[8];
u64 cancelled_in_callback;

static int fire(void *map, u32 *key, struct clocked *value)
{
	value->fired += 1 + *key;
	cancelled_in_callback = timer_cancel(&value->timer);
	if (value->again) {
		value->again--;
		timer_start(&value->timer, 500, 0);
	}
	return 0;
}

SEC("tc")
int start(void *ctx)
{
	u32 key = 3;
	struct clocked value = { .again = 2 };
	struct clocked *v;

	update(&timers, &key, &value, 1);
	v = lookup(&timers, &key);
	if (!v)
		return 1;
	errors[0] = timer_start(&v->timer, 1000, 0);
	errors[1] = timer_init(&v->timer, &timers, 3);
	errors[2] = timer_init(&v->timer, &timers, 1);
	errors[3] = timer_init(&v->timer, &timers, 1);
	errors[4] = timer_start(&v->timer, 1000, 0);
	errors[5] = timer_set_callback(&v->timer, fire);
	errors[6] = timer_start(&v->timer, 1000, 4);
	errors[7] = timer_start(&v->timer, 1000, 0);
	return 0;
}

SEC("tc")
int cancel(void *ctx)
{
	u32 key = 3;
	struct clocked *v = lookup(&timers, &key);

	return v ? timer_cancel(&v->timer) : -100;
}

SEC("tc")
int forget(void *ctx)
{
	u32 key = 3;

	return delete (&timers, &key);
}

struct sum {
	u64 total;
	u64 failed;
};

static long add(struct bpf_dynptr *record, struct sum *sum)
{
	u64 value = 0;

	if (dynptr_read(&value, sizeof(value), record, 0, 0))
		sum->failed++;
	sum->total += value;
	return value == 99;
}

u64 total, failed;

SEC("tc")
int collect(void *ctx)
{
	struct sum sum = {};
	long n = drain(&records, add, &sum, 0);

	total += sum.total;
	failed += sum.failed;
	return n;
}

SEC("raw_tp/sys_enter")
int count(void *ctx)
{
	u64 first = 10, *v;

	v = task_storage(&tasks, current_task(), 0, 0);
	if (!v)
		v = task_storage(&tasks, current_task(), &first, 1);
	if (!v)
		return -1;
	return (*v)++;
}

SEC("raw_tp/sys_exit")
int leave(void *ctx)
{
	return task_storage_delete(&tasks, current_task());
}

SEC("raw_tp/sched_switch")
int inside(void *ctx)
{
	return (under_cgroup(&groups, 0) & 0xff) | (under_cgroup(&groups, 1) & 0xff) << 8 |
	       (under_cgroup(&groups, 2) & 0xff) << 16;
}
