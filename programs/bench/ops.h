/* OPS(name) { … } is an XDP program that does what stands in it for each of 64 words of its packet, `word`, and adds
 * up what it leaves in `sum`. What the loop itself costs, `loop_64` says.
 * A program `name_setup` is run once before `name` is measured.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PROBITY_OPS_H
#define PROBITY_OPS_H

#include <probity/bpf.h>

#define WORDS 64

#define OPS(name) \
	static always_inline u32 name##_op(struct xdp_md *ctx, u32 word); \
	SEC("xdp") int name(struct xdp_md *ctx) \
	{ \
		u32 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end, sum = 0, i; \
		if (data + WORDS > end) \
			return -1; \
		for (i = 0; i < WORDS; i++) \
			sum += name##_op(ctx, data[i]); \
		return sum; \
	} \
	static always_inline u32 name##_op(struct xdp_md *ctx, u32 word)

/* Fills a map with the keys 0 to 1023. */
#define SETUP(name) \
	static always_inline void name##_fill(u32 n); \
	SEC("xdp") int name##_setup(struct xdp_md *ctx) \
	{ \
		u32 i; \
		for (i = 0; i < KEYS; i++) \
			name##_fill(i); \
		return 0; \
	} \
	static always_inline void name##_fill(u32 n)

#define KEYS 1024

#endif
