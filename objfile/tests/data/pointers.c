/* Refused: a table of pointers, which nobody could fill in. */
#include "bpf.h"

static int a = 1, b = 2;
int *table[] = { &a, &b };

SEC("socket") int program(void *ctx)
{
	int **t = (int **)*(volatile u64 *)table;
	return **t;
}

char _license[] SEC("license") = "GPL";
