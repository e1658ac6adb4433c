/* One of two objects that are linked: uses what second.bpf.c defines. */
#include "common.h"

struct {
	__uint(type, 2);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct node);
} counts SEC(".maps");

int only_first = 5;
extern int total;
extern int weigh(int x);

__weak __noinline int base(int x)
{
	asm volatile("");
	return x + 1;
}

static __noinline int twice(int x)
{
	asm volatile("");
	return x * 20;
}

SEC("tracepoint/first")
int first(void *ctx)
{
	int key = 0;
	struct node *node = lookup(&counts, &key);

	if (!node)
		return 0;
	node->count += weigh(3);
	total += only_first;
	/* 0 + (3 * 2 + 1), 100 + 5, 0 + 10, 1 * 20 */
	return node->count + total + base(0) + twice(1);
}

char LICENSE[] SEC("license") = "GPL";
