/* Every attribute of a BTF map definition, and static initial values. */
#include "bpf.h"

struct key {
	u32 a;
	u16 b;
};

struct {
	__uint(type, 1);
	__uint(max_entries, 128);
	__uint(map_flags, 1 | 4);
	__uint(numa_node, 1);
	__type(key, struct key);
	__type(value, u64);
} hash SEC(".maps");

struct {
	__uint(type, 2);
	__uint(max_entries, 3);
	__uint(key_size, 4);
	__uint(value_size, 12);
	__uint(pinning, 1);
} pinned SEC(".maps");

struct {
	__uint(type, 27);
	__uint(max_entries, 5000);
} ring SEC(".maps");

struct {
	__uint(type, 30);
	__uint(max_entries, 10);
	__uint(map_extra, 3);
	__type(value, u32);
} bloom SEC(".maps");

struct inner {
	__uint(type, 2);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, int);
} inner_a SEC(".maps"), inner_b SEC(".maps");

struct {
	__uint(type, 12);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, struct inner);
} outer SEC(".maps") = {
	.values = { [0] = &inner_b, [3] = &inner_a },
};

int tail(void *ctx);

struct {
	__uint(type, 3);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, int(void *));
} progs SEC(".maps") = {
	.values = { [1] = (void *)&tail },
};

SEC("xdp") int tail(void *ctx)
{
	return 1;
}

SEC("xdp") int entry(void *ctx)
{
	struct key k = { 1, 2 };
	u64 one = 1;
	u64 *v = bpf_map_lookup_elem(&hash, &k);
	int zero = 0;

	if (v)
		*v += 1;
	bpf_map_update_elem(&pinned, &zero, &one, 0);
	bpf_map_lookup_elem(&outer, &zero);
	bpf_tail_call(ctx, &progs, 1);
	return 2;
}

char _license[] SEC("license") = "GPL";
