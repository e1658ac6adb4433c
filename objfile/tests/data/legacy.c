/* Maps as they were defined before BTF. */
#include "bpf.h"

struct bpf_map_def {
	u32 type, key_size, value_size, max_entries, map_flags;
};

struct bpf_map_def old_hash SEC("maps") = { 1, 4, 8, 64, 1 };
struct bpf_map_def old_array SEC("maps") = { 2, 4, 16, 2, 0 };

SEC("socket") int program(void *ctx)
{
	int zero = 0;
	u64 *v = bpf_map_lookup_elem(&old_hash, &zero);

	if (!v)
		v = bpf_map_lookup_elem(&old_array, &zero);
	return v ? *v : 0;
}

char _license[] SEC("license") = "GPL";
