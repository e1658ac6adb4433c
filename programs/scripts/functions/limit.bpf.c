/* Functions for scripts: import "limit.o".
 * A bucket of tokens for each key, so that a script says something of a kind so many times a second at most.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

#define SECOND 1000000000ULL

struct bucket {
	/* When tokens were last put into it, in nanoseconds. */
	u64 filled;
	u32 tokens;
	/* How often it was empty. */
	u32 refused;
};

struct {
	uint(type, MAP_LRU_HASH);
	uint(max_entries, 4096);
	type_of(key, u64);
	type_of(value, struct bucket);
} buckets SEC(".maps");

/* Whether an event of this key may be told: `a_second` are, on average and at once. */
_Bool may_tell(u64 key, u64 now, u32 a_second)
{
	struct bucket *bucket = map_lookup_elem(&buckets, &key);
	struct bucket full = { .filled = now, .tokens = a_second };
	u64 since, more;

	if (!bucket) {
		map_update_elem(&buckets, &key, &full, NOEXIST);
		bucket = map_lookup_elem(&buckets, &key);
		if (!bucket)
			return 1;
	}
	since = now - bucket->filled;
	more = since >= SECOND ? a_second : since * a_second / SECOND;
	if (more) {
		bucket->filled = now;
		bucket->tokens = bucket->tokens + more < a_second ? bucket->tokens + more : a_second;
	}
	if (!bucket->tokens) {
		bucket->refused++;
		return 0;
	}
	bucket->tokens--;
	return 1;
}

/* What is known of a key; nothing of it can be read where it was never asked for. */
struct bucket *bucket_of(u64 key)
{
	return map_lookup_elem(&buckets, &key);
}

LICENSE("Dual MIT/GPL");
