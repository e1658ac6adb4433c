/* Maps, one operation on each of 64 words.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "ops.h"

#define MAP_OF(name, kind, size, key_t, value_t) \
	struct { \
		uint(type, kind); \
		uint(max_entries, size); \
		type_of(key, key_t); \
		type_of(value, value_t); \
	} name SEC(".maps")

struct wide {
	u64 low, high;
};

MAP_OF(counters, MAP_ARRAY, KEYS, u32, u64);
MAP_OF(percpu_counters, MAP_PERCPU_ARRAY, KEYS, u32, u64);
MAP_OF(narrow_table, MAP_HASH, 2 * KEYS, u32, u64);
MAP_OF(wide_table, MAP_HASH, 2 * KEYS, struct wide, u64);
MAP_OF(updated, MAP_HASH, 2 * KEYS, u32, u64);
MAP_OF(cache, MAP_LRU_HASH, 2 * KEYS, u32, u64);
MAP_OF(small_cache, MAP_LRU_HASH, KEYS, u32, u64);

struct {
	uint(type, MAP_RINGBUF);
	uint(max_entries, 1 << 20);
} records SEC(".maps");

OPS(loop_64)
{
	return word & (KEYS - 1);
}

OPS(array_64)
{
	u32 key = word & (KEYS - 1);
	u64 *value = map_lookup_elem(&counters, &key);

	if (!value)
		return 0;
	*value += word;
	return 1;
}

OPS(atomic_64)
{
	u32 key = word & (KEYS - 1);
	u64 *value = map_lookup_elem(&counters, &key);

	if (!value)
		return 0;
	__sync_fetch_and_add(value, word);
	return 1;
}

OPS(percpu_64)
{
	u32 key = word & (KEYS - 1);
	u64 *value = map_lookup_elem(&percpu_counters, &key);

	if (!value)
		return 0;
	*value += word;
	return 1;
}

SETUP(hash4_64)
{
	u64 value = n * 3;

	map_update_elem(&narrow_table, &n, &value, ANY);
}

OPS(hash4_64)
{
	u32 key = word & (KEYS - 1);
	u64 *value = map_lookup_elem(&narrow_table, &key);

	return value ? *value : 0;
}

static always_inline struct wide widened(u32 n)
{
	return (struct wide){ n * 0x9e3779b97f4a7c15, n };
}

SETUP(hash16_64)
{
	struct wide key = widened(n);
	u64 value = n * 3;

	map_update_elem(&wide_table, &key, &value, ANY);
}

OPS(hash16_64)
{
	struct wide key = widened(word & (KEYS - 1));
	u64 *value = map_lookup_elem(&wide_table, &key);

	return value ? *value : 0;
}

OPS(update_64)
{
	u32 key = word & (KEYS - 1);
	u64 value = word;

	return map_update_elem(&updated, &key, &value, ANY) == 0;
}

/* What is there is used again … */
OPS(lru_64)
{
	u32 key = word & (KEYS - 1);
	u64 value = word;

	return map_update_elem(&cache, &key, &value, ANY) == 0;
}

u32 fresh;

/* … or makes place for what is new. */
OPS(lru_evict_64)
{
	u32 key = ++fresh;
	u64 value = word;

	return map_update_elem(&small_cache, &key, &value, ANY) == 0;
}

OPS(ringbuf_64)
{
	struct wide *record = ringbuf_reserve(&records, sizeof(*record), 0);

	if (!record)
		return 0;
	record->low = word;
	record->high = ~word;
	ringbuf_submit(record, 0);
	return 1;
}

LICENSE("Dual MIT/GPL");
