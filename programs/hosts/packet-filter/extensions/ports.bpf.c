/* Drops IPv4 packets to ports that are blocked: Telnet, and what the map says; counts what it drops of each.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>
#include "packet-filter.h"

struct {
	uint(type, MAP_HASH);
	uint(max_entries, 1024);
	type_of(key, u16);
	type_of(value, u64);
} blocked SEC(".maps");

const volatile u16 telnet = 23;
u64 dropped;

HOOK_PACKET
int ports(struct frame *ctx)
{
	u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)data;
	struct iphdr *ip = (void *)(eth + 1);
	struct ports *ports;
	u64 *count;
	u16 port;

	if (ctx->link != 1 || (void *)(ip + 1) > (void *)end || eth->proto != bswap16(ETH_IP))
		return 1;
	if (ip->protocol != PROTO_TCP && ip->protocol != PROTO_UDP)
		return 1;
	ports = (void *)ip + (ip->version_ihl & 15) * 4;
	if ((void *)(ports + 1) > (void *)end)
		return 1;
	port = bswap16(ports->dest);
	count = map_lookup_elem(&blocked, &port);
	if (count)
		__sync_fetch_and_add(count, 1);
	else if (port != telnet)
		return 1;
	__sync_fetch_and_add(&dropped, 1);
	return 0;
}

LICENSE("Dual MIT/GPL");
