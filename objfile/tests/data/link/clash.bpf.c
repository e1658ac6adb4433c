/* Agrees with first.bpf.c in nothing. */
#include "common.h"

struct {
	__uint(type, 2);
	__uint(max_entries, 8);
	__type(key, int);
	__type(value, struct node);
} counts SEC(".maps");

long total = 100;
int only_first = 6;

__noinline int weigh(long x, int y)
{
	return x + y;
}

SEC("tracepoint/clash")
int clash(void *ctx)
{
	int key = 0;
	struct node *node = lookup(&counts, &key);

	return node ? node->count + weigh(total, only_first) : 0;
}

char LICENSE[] SEC("license") = "GPL";
