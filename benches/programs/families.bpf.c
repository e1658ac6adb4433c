/* Families in C, as clang compiles them: each program's name ends in the size that it is made for.
 * A verdict should cost as much for the largest of a family of loops as for the smallest, and
 * for ladders in proportion to their length.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

LICENSE("Dual MIT/GPL");

#define keep_loop _Pragma("clang loop unroll(disable) vectorize(disable)")
#define HOOK SEC("raw_tracepoint")

struct text {
	char from[4096];
	char to[4096];
};
struct {
	uint(type, MAP_ARRAY);
	uint(max_entries, 1);
	type_of(key, u32);
	type_of(value, struct text);
} texts SEC(".maps");

struct words {
	u64 at[65536];
};
struct {
	uint(type, MAP_ARRAY);
	uint(max_entries, 1);
	type_of(key, u32);
	type_of(value, struct words);
} numbers SEC(".maps");

static always_inline void *only(void *map)
{
	u32 key = 0;
	return map_lookup_elem(map, &key);
}

/* The sum of an array: a pointer and a counter that clang makes one of. */
#define SUM(n) \
	HOOK int sum_##n(u64 *ctx) \
	{ \
		struct words *w = only(&numbers); \
		u64 sum = 0; \
		if (!w) \
			return 0; \
		keep_loop for (u32 i = 0; i < n; i++) \
			sum += w->at[i]; \
		w->at[0] = sum; \
		return 0; \
	}
SUM(16)
SUM(1024)
SUM(65536)

/* How many are not zero, as many as an unknown number says: a branch on something new in each lap. */
#define COUNT(n) \
	HOOK int count_##n(u64 *ctx) \
	{ \
		struct words *w = only(&numbers); \
		u32 most = ctx[0], found = 0; \
		if (!w || most > n) \
			return 0; \
		keep_loop for (u32 i = 0; i < most; i++) \
			if (w->at[i]) \
				found++; \
		w->at[0] = found; \
		return 0; \
	}
COUNT(16)
COUNT(1024)
COUNT(65536)

/* A string copied up to its end. */
#define COPY(n) \
	HOOK int copy_##n(u64 *ctx) \
	{ \
		struct text *t = only(&texts); \
		if (!t) \
			return 0; \
		keep_loop for (u32 i = 0; i < n; i++) { \
			char c = t->from[i]; \
			t->to[i] = c; \
			if (!c) \
				break; \
		} \
		return 0; \
	}
COPY(16)
COPY(256)
COPY(4096)

/* What a helper read to the stack, copied from there. */
#define FROM_STACK(n) \
	HOOK int from_stack_##n(u64 *ctx) \
	{ \
		char name[n]; \
		struct text *t = only(&texts); \
		if (!t || probe_read_kernel(name, sizeof(name), (void *)ctx[0]) < 0) \
			return 0; \
		keep_loop for (u32 i = 0; i < n; i++) { \
			t->to[i] = name[i]; \
			if (!name[i]) \
				break; \
		} \
		return 0; \
	}
FROM_STACK(16)
FROM_STACK(256)

/* Strings one behind the other, as many as fit. */
#define PACKED(n) \
	HOOK int packed_##n(u64 *ctx) \
	{ \
		struct text *t = only(&texts); \
		u64 used = 0; \
		if (!t) \
			return 0; \
		keep_loop for (u32 i = 0; i < n; i++) { \
			long length; \
			if (used > sizeof(t->to) - 64) \
				break; \
			length = probe_read_kernel_str(t->to + used, 64, (void *)ctx[0]); \
			if (length < 0 || length > 64) \
				break; \
			used += length; \
		} \
		return 0; \
	}
PACKED(4)
PACKED(64)

/* A product of matrices: three counters, three arrays. */
#define PRODUCT(n) \
	HOOK int product_##n(u64 *ctx) \
	{ \
		struct words *w = only(&numbers); \
		if (!w) \
			return 0; \
		keep_loop for (u32 i = 0; i < n; i++) \
			keep_loop for (u32 j = 0; j < n; j++) { \
				u64 sum = 0; \
				keep_loop for (u32 k = 0; k < n; k++) \
					sum += w->at[i * n + k] * w->at[n * n + k * n + j]; \
				w->at[2 * n * n + i * n + j] = sum; \
			} \
		return 0; \
	}
PRODUCT(4)
PRODUCT(16)
PRODUCT(100)

/* Extension headers behind each other, at most n. */
#define HEADERS(n) \
	SEC("xdp") int headers_##n(struct xdp_md *ctx) \
	{ \
		u8 *at = (void *)(unsigned long)ctx->data; \
		u8 *end = (void *)(unsigned long)ctx->data_end; \
		u8 next = 0; \
		keep_loop for (u32 i = 0; i < n; i++) { \
			if (at + 8 > end) \
				return XDP_DROP; \
			next = at[0]; \
			if (next != 0 && next != 43 && next != 60) \
				break; \
			at += (at[1] & 15) * 8 + 8; \
		} \
		return next == 59 ? XDP_DROP : XDP_PASS; \
	}
HEADERS(2)
HEADERS(8)
HEADERS(64)

/* Flags that add up to an offset. */
#define BIT(i) \
	if (flags & (1u << (i))) \
		at += (i) + 1; \
	barrier();
#define BITS4(i) BIT(i) BIT(i + 1) BIT(i + 2) BIT(i + 3)
#define BITS8(i) BITS4(i) BITS4(i + 4)
#define LADDER(n, bits) \
	HOOK int ladder_##n(u64 *ctx) \
	{ \
		struct text *t = only(&texts); \
		u32 flags = ctx[0], at = 0; \
		if (!t) \
			return 0; \
		bits t->to[at]++; \
		return 0; \
	}
LADDER(4, BITS4(0))
LADDER(8, BITS8(0))
LADDER(16, BITS8(0) BITS8(8))
LADDER(32, BITS8(0) BITS8(8) BITS8(16) BITS8(24))

/* A subprogram with a branch in each lap. */
static noinline u64 weigh(u64 x, u64 y)
{
	return x & 1 ? x * 3 + y : y >> 1;
}
#define CALLS(n) \
	HOOK int calls_##n(u64 *ctx) \
	{ \
		struct words *w = only(&numbers); \
		u64 sum = 0; \
		if (!w) \
			return 0; \
		keep_loop for (u32 i = 0; i < n; i++) \
			sum = weigh(w->at[i], sum); \
		w->at[0] = sum; \
		return 0; \
	}
CALLS(16)
CALLS(1024)
CALLS(65536)
