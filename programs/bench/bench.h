/* One source, four shapes: BENCH(name, size) { … } is a function of a block of memory, `data` to `end`,
 * that is at least `size` bytes long. It becomes
 *  - with clang --target=bpf: an XDP program, the memory being the packet;
 *  - with -DBENCH_MEMORY too: a program whose r1 is the memory and r2 its length, as user-space engines call;
 *  - with any other target: u64 name(u8 *data, u64 length), for this machine or for WebAssembly.
 * What it gives is 32 bits wide, as XDP programs do, and what it left in the memory counts too.
 * A run leaves its input as it was, so that every run does the same work.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PROBITY_BENCH_H
#define PROBITY_BENCH_H

#include <probity/bpf.h>

/* Words that may lie over bytes. */
typedef u16 __attribute__((may_alias)) word16;
typedef u32 __attribute__((may_alias)) word32;
typedef u64 __attribute__((may_alias)) word64;

#define load16(at) (*(const word16 *)(at))
#define load32(at) (*(const word32 *)(at))
#define load64(at) (*(const word64 *)(at))

#define TOO_SHORT 0xffffffff

#if defined(__bpf__) && !defined(BENCH_MEMORY)
#define BENCH(name, size) \
	static always_inline u32 name##_body(u8 *data, u8 *end); \
	SEC("xdp") int name(struct xdp_md *ctx) \
	{ \
		u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end; \
		if (data + (size) > end) \
			return TOO_SHORT; \
		return name##_body(data, end); \
	} \
	LICENSE("Dual MIT/GPL"); \
	static always_inline u32 name##_body(u8 *data, u8 *end)
#else
#ifdef __bpf__
#define ENTRY SEC("memory")
#elif defined(__wasm__)
#define ENTRY __attribute__((visibility("default"), used))
#else
#define ENTRY __attribute__((visibility("default")))
#endif
#define BENCH(name, size) \
	static always_inline u32 name##_body(u8 *data, u8 *end); \
	ENTRY u64 name(u8 *data, u64 length) \
	{ \
		u8 *end = data + length; \
		if (length < (size)) \
			return TOO_SHORT; \
		return name##_body(data, end); \
	} \
	static always_inline u32 name##_body(u8 *data, u8 *end)
#endif

static always_inline u32 rotl32(u32 x, u32 n)
{
	return x << n | x >> (32 - n);
}

static always_inline u64 rotl64(u64 x, u32 n)
{
	return x << n | x >> (64 - n);
}

static always_inline u32 fold(u64 x)
{
	return x ^ x >> 32;
}

#endif
