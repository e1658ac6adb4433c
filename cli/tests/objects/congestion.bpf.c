/* A congestion control of TCP, reached through a structure of operations: a window that nothing but growth
 * changes, and a count of what the kernel calls.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

struct sock {
} core;


struct tcp_congestion_ops {
	u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
	void (*set_state)(struct sock *sk, u8 new_state);
	u32 (*undo_cwnd)(struct sock *sk);
	void (*init)(struct sock *sk);
	char name[16];
};


u64 sockets = 0, acknowledged = 0;

SEC("struct_ops")
void begin(u64 *ctx)
{
	sockets++;
}

SEC("struct_ops")
void grow(u64 *ctx)
{
	acknowledged += (u32)ctx[2];
}

SEC("struct_ops")
u32 threshold(u64 *ctx)
{
	return 10;
}

SEC("struct_ops")
u32 undo(u64 *ctx)
{
	return 10;
}

SEC(".struct_ops.link")
struct tcp_congestion_ops counting = {
	.init = (void *)begin,
	.cong_avoid = (void *)grow,
	.ssthresh = (void *)threshold,
	.undo_cwnd = (void *)undo,
	.name = "probity_count",
};

LICENSE("Dual MIT/GPL");
