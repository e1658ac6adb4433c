// Programs that measure maps: each does one operation 64 times on keys that change.
// Built by: cargo xtask programs --write
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define KEEP _Pragma("clang loop unroll(disable) vectorize(disable)")

static void *(*const lookup)(void *map, const void *key) = (void *)1;
static long (*const update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const delete)(void *map, const void *key) = (void *)3;
static void *(*const reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*const submit)(void *record, u64 flags) = (void *)132;

char _license[] SEC("license") = "Dual MIT/GPL";

struct pair {
	u64 a, b;
};

#define MAP(name, kind, entries, key_type, flags)                                                  \
	struct {                                                                                   \
		__uint(type, kind);                                                                \
		__uint(max_entries, entries);                                                      \
		__uint(map_flags, flags);                                                          \
		__type(key, key_type);                                                             \
		__type(value, u64);                                                                \
	} name SEC(".maps")

MAP(array, 2, 256, u32, 0);
MAP(hash4, 1, 1024, u32, 0);
MAP(hash8, 1, 1024, u64, 0);
MAP(hash16, 1, 1024, struct pair, 0);
MAP(percpu, 5, 1024, u32, 0);
MAP(lru4, 9, 1024, u32, 0);

struct {
	__uint(type, 27);
	__uint(max_entries, 1 << 20);
} ring SEC(".maps");

// What the loop itself costs.
SEC("raw_tp/nothing")
u64 nothing(u64 *ctx)
{
	u64 sum = 0;
	u32 first = ctx[0];
	KEEP for (u32 i = 0; i < 64; i++) {
		volatile u32 key = (first + i) & 255;
		sum += key;
	}
	return sum;
}

#define LOOKUPS(name, map, type, make)                                                             \
	SEC("raw_tp/" #name)                                                                       \
	u64 name(u64 *ctx)                                                                         \
	{                                                                                          \
		u64 sum = 0;                                                                       \
		u32 first = ctx[0];                                                                \
		KEEP for (u32 i = 0; i < 64; i++) {                                                \
			u32 n = (first + i) & 255;                                                 \
			type key = make;                                                           \
			u64 *v = lookup(&map, &key);                                               \
			if (v)                                                                     \
				sum += *v;                                                         \
		}                                                                                  \
		return sum;                                                                        \
	}

LOOKUPS(array_lookup, array, u32, n)
LOOKUPS(hash4_lookup, hash4, u32, n)
LOOKUPS(hash8_lookup, hash8, u64, n)
LOOKUPS(hash16_lookup, hash16, struct pair, ((struct pair){n, n}))
LOOKUPS(percpu_lookup, percpu, u32, n)
LOOKUPS(lru4_lookup, lru4, u32, n)
LOOKUPS(hash4_miss, hash4, u32, n | 0x10000)

#define UPDATES(name, map, type, make)                                                             \
	SEC("raw_tp/" #name)                                                                       \
	u64 name(u64 *ctx)                                                                         \
	{                                                                                          \
		u64 failed = 0;                                                                    \
		u32 first = ctx[0];                                                                \
		KEEP for (u32 i = 0; i < 64; i++) {                                                \
			u32 n = (first + i) & 255;                                                 \
			type key = make;                                                           \
			u64 value = 1;                                                             \
			failed += update(&map, &key, &value, 0) != 0;                              \
		}                                                                                  \
		return failed;                                                                     \
	}

UPDATES(hash4_update, hash4, u32, n)
UPDATES(hash8_update, hash8, u64, n)
UPDATES(hash16_update, hash16, struct pair, ((struct pair){n, n}))
UPDATES(percpu_update, percpu, u32, n)
UPDATES(lru4_update, lru4, u32, n)

// Always a new key: each update evicts an element.
SEC("raw_tp/lru4_evict")
u64 lru4_evict(u64 *ctx)
{
	u64 failed = 0;
	u32 first = ctx[1];
	KEEP for (u32 i = 0; i < 64; i++) {
		static u32 next;
		u32 key = next++ + first;
		u64 value = 1;
		failed += update(&lru4, &key, &value, 0) != 0;
	}
	return failed;
}

// An insertion and a deletion.
SEC("raw_tp/hash4_insert_delete")
u64 hash4_insert_delete(u64 *ctx)
{
	u64 failed = 0;
	u32 first = ctx[0];
	KEEP for (u32 i = 0; i < 64; i++) {
		u32 key = ((first + i) & 255) | 0x20000;
		u64 value = 1;
		failed += update(&hash4, &key, &value, 0) != 0;
		failed += delete (&hash4, &key) != 0;
	}
	return failed;
}

SEC("raw_tp/ring_record")
u64 ring_record(u64 *ctx)
{
	u64 lost = 0, value = ctx[0];
	KEEP for (u32 i = 0; i < 64; i++) {
		u64 *record = reserve(&ring, 8, 0);
		if (!record) {
			lost++;
			continue;
		}
		*record = value;
		submit(record, 0);
	}
	return lost;
}
