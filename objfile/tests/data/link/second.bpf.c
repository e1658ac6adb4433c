/* The other: defines what first.bpf.c uses, and a stronger base. */
#include "common.h"

struct {
	__uint(type, 2);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct node);
} counts __weak SEC(".maps");

int padding = 7;
int total = 100;

static __noinline int twice(int x)
{
	asm volatile("");
	return x * 2;
}

__noinline int weigh(int x)
{
	return twice(x) + 1;
}

__noinline int base(int x)
{
	asm volatile("");
	return x + 10;
}

SEC("tracepoint/second")
int second(void *ctx)
{
	int key = 0;
	struct node *node = lookup(&counts, &key);

	if (!node)
		return 0;
	node->count += padding;
	return node->count + base(1) + weigh(total);
}

char LICENSE[] SEC("license") = "GPL";
