/* Programs that share subprograms: static and global ones, callbacks, one function in its own
 * section, some that nobody calls. */
#include "bpf.h"

static __noinline int leaf(int x)
{
	return x * 3 + *(volatile int *)8;
}

__noinline int global_leaf(int x)
{
	return leaf(x) + 7;
}

__hidden __noinline int hidden_leaf(int x)
{
	return leaf(x) + 9;
}

__noinline int nobody_calls(int x)
{
	return leaf(x) - 1;
}

static int callback(u32 i, void *ctx)
{
	*(int *)ctx += global_leaf(i);
	return 0;
}

SEC("tc") int first(void *ctx)
{
	int sum = 0;

	bpf_loop(10, callback, &sum, 0);
	return sum + hidden_leaf(sum);
}

SEC("tc") int second(void *ctx)
{
	return global_leaf(5) + leaf(6);
}

SEC("?kprobe/vfs_read") int third(void *ctx)
{
	return leaf(1);
}

char _license[] SEC("license") = "Dual MIT/GPL";
