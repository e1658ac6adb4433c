/* Functions of every shape that scripts may call, and some that they may not.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

enum color { RED, GREEN = 7 };

struct inner {
	s16 low;
	char text[6];
};

struct pair {
	u64 first;
	s32 second;
	u32 narrow : 5, wide : 20;
	struct inner inner;
	const char *name;
};

struct task_struct {
	int tgid;
} core;

struct {
	uint(type, MAP_ARRAY);
	uint(max_entries, 1);
	type_of(key, u32);
	type_of(value, struct pair);
} kept SEC(".maps");

const volatile u64 step = 3;
u64 calls;
u64 started = 100;

static noinline u64 more(u64 by)
{
	calls += by;
	return started + calls;
}

void count_call(void)
{
	more(1);
}

u64 calls_so_far(void)
{
	return more(0);
}

s32 minus(s32 a, s8 b)
{
	return a - b;
}

u8 low(u64 a)
{
	return a;
}

_Bool odd(u16 a)
{
	return a & 1;
}

enum color next_color(enum color c)
{
	return c == RED ? GREEN : RED;
}

u64 five(u64 a, u64 b, u64 c, u64 d, u64 e)
{
	return a * 10000 + b * 1000 + c * 100 + d * 10 + e * step;
}

/* How many characters of the first four there are. */
u32 letters(const char *text)
{
	u32 n = 0;

	for (int i = 0; i < 4 && text[i]; i++)
		n++;
	return n;
}

struct pair *pair_of(u64 first, s32 second)
{
	u32 zero = 0;
	struct pair *pair = map_lookup_elem(&kept, &zero);

	if (pair) {
		pair->first = first;
		pair->second = second;
		pair->narrow = 21;
		pair->wide = 70000;
		pair->inner.low = -2;
		pair->inner.text[0] = 'h';
		pair->inner.text[1] = 'i';
	}
	return pair;
}

u64 total_of(const struct pair *pair)
{
	return pair ? pair->first + pair->second : 0;
}

u64 twice(u64 *number)
{
	return *number *= 2;
}

void narrow(u32 *number)
{
	*number = 1;
}

/* The kernel's structure, whose members are where this kernel has them. */
int group_of(struct task_struct *task)
{
	return core_field(task, tgid);
}

/* What a script needs leave for. */
static long (*const send_signal)(u32 number) = (void *)109;

long interrupt(void)
{
	return send_signal(2);
}

/* The same by a kernel function. */
static struct task_struct *(*const current_task)(void) = (void *)158;
extern int bpf_send_signal_task(struct task_struct *task, int number, u32 whom, u64 value)
	__attribute__((section(".ksyms")));

long interrupt_task(void)
{
	return bpf_send_signal_task(current_task(), 2, 1, 0);
}

int by_value(struct inner in)
{
	return in.low;
}

LICENSE("Dual MIT/GPL");
