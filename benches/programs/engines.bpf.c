// Programs that measure engines: each computes from the words of its context.
// Built by: cargo xtask programs --write
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define KEEP _Pragma("clang loop unroll(disable) vectorize(disable)")

static void *(*const lookup)(void *map, const void *key) = (void *)1;

char _license[] SEC("license") = "Dual MIT/GPL";

struct {
	__uint(type, 2);
	__uint(max_entries, 256);
	__type(key, u32);
	__type(value, u64);
} array SEC(".maps");

struct {
	__uint(type, 1);
	__uint(max_entries, 256);
	__type(key, u32);
	__type(value, u64);
} hash SEC(".maps");

static inline u64 mix(u64 *state)
{
	u64 x = *state;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

SEC("raw_tp/simple")
u64 simple(u64 *ctx)
{
	return ctx[0] + ctx[1];
}

// Internet checksum of 448 bytes.
SEC("raw_tp/checksum")
u64 checksum(u64 *ctx)
{
	u64 state = ctx[0] | 1, sum = 0;
	u64 data[56];
	KEEP for (int i = 0; i < 56; i++)
		data[i] = mix(&state);
	unsigned short *p = (unsigned short *)data;
	KEEP for (int i = 0; i < 224; i++)
		sum += p[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

#define P1 11400714785074694791ull
#define P2 14029467366897019727ull
#define P3 1609587929392839161ull
#define P4 9650029242287828579ull
#define P5 2870177450012600261ull
#define ROL(x, n) ((x) << (n) | (x) >> (64 - (n)))

static inline u64 round64(u64 acc, u64 in)
{
	acc += in * P2;
	acc = ROL(acc, 31);
	return acc * P1;
}

// xxHash64 of 384 bytes.
SEC("raw_tp/xxh64")
u64 xxh64(u64 *ctx)
{
	u64 state = ctx[0] | 1, seed = ctx[1];
	u64 data[48];
	KEEP for (int i = 0; i < 48; i++)
		data[i] = mix(&state);
	u64 a = seed + P1 + P2, b = seed + P2, c = seed, d = seed - P1;
	KEEP for (int i = 0; i < 48; i += 4) {
		a = round64(a, data[i]);
		b = round64(b, data[i + 1]);
		c = round64(c, data[i + 2]);
		d = round64(d, data[i + 3]);
	}
	u64 h = ROL(a, 1) + ROL(b, 7) + ROL(c, 12) + ROL(d, 18);
	h = (h ^ round64(0, a)) * P1 + P4;
	h = (h ^ round64(0, b)) * P1 + P4;
	h = (h ^ round64(0, c)) * P1 + P4;
	h = (h ^ round64(0, d)) * P1 + P4;
	h += 384;
	h ^= h >> 33;
	h *= P2;
	h ^= h >> 29;
	h *= P3;
	return h ^ h >> 32;
}

// Insertion sort of 24 words.
SEC("raw_tp/sort")
u64 sort(u64 *ctx)
{
	u64 state = ctx[0] | 1;
	u32 data[24];
	KEEP for (int i = 0; i < 24; i++)
		data[i] = mix(&state);
	KEEP for (int i = 1; i < 24; i++) {
		u32 v = data[i];
		int j = i;
		KEEP while (j > 0 && j < 24 && data[j - 1] > v) {
			data[j] = data[j - 1];
			j--;
		}
		if (j >= 0 && j < 24)
			data[j] = v;
	}
	return data[0] ^ (u64)data[12] << 16 ^ (u64)data[23] << 32;
}

// Trial division.
SEC("raw_tp/prime")
u64 prime(u64 *ctx)
{
	u64 n = ctx[0] % 30000 | 1, found = 0;
	KEEP for (u64 d = 3; d < 173; d += 2)
		found += n % d == 0;
	return found;
}

SEC("raw_tp/array_lookups")
u64 array_lookups(u64 *ctx)
{
	u64 sum = 0;
	u32 first = ctx[0];
	KEEP for (u32 i = 0; i < 64; i++) {
		u32 key = (first + i) & 255;
		u64 *v = lookup(&array, &key);
		if (v)
			sum += (*v)++;
	}
	return sum;
}

SEC("raw_tp/hash_lookups")
u64 hash_lookups(u64 *ctx)
{
	u64 sum = 0;
	u32 first = ctx[0];
	KEEP for (u32 i = 0; i < 64; i++) {
		u32 key = (first + i) & 255;
		u64 *v = lookup(&hash, &key);
		if (v)
			sum += (*v)++;
	}
	return sum;
}
