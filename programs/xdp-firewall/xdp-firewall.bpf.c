/* Drops packets from blocked IPv4 prefixes and to blocked ports; counts verdicts.
 * XDP with VLAN tags, IPv4 options and IPv6; a prefix tree, a hash, a per-CPU array.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

struct prefix {
	u32 length;
	u32 address;
};

struct {
	uint(type, MAP_LPM_TRIE);
	uint(max_entries, 1024);
	uint(map_flags, F_NO_PREALLOC);
	type_of(key, struct prefix);
	type_of(value, u64);
} blocked_sources SEC(".maps");

struct {
	uint(type, MAP_HASH);
	uint(max_entries, 256);
	type_of(key, u16);
	type_of(value, u64);
} blocked_ports SEC(".maps");

struct counter {
	u64 packets, bytes;
};

struct {
	uint(type, MAP_PERCPU_ARRAY);
	uint(max_entries, 5);
	type_of(key, u32);
	type_of(value, struct counter);
} verdicts SEC(".maps");

/* Ports below this are never blocked. */
const volatile u16 always_open_below = 1;

static always_inline int count(u32 verdict, u64 bytes)
{
	struct counter *c = map_lookup_elem(&verdicts, &verdict);

	if (c) {
		c->packets++;
		c->bytes += bytes;
	}
	return verdict;
}

static noinline int source_is_blocked(u32 address)
{
	struct prefix key = { 32, address };
	u64 *hits = map_lookup_elem(&blocked_sources, &key);

	if (!hits)
		return 0;
	__sync_fetch_and_add(hits, 1);
	return 1;
}

static noinline int port_is_blocked(u16 port)
{
	u64 *hits;

	if (port < always_open_below)
		return 0;
	hits = map_lookup_elem(&blocked_ports, &port);
	if (!hits)
		return 0;
	__sync_fetch_and_add(hits, 1);
	return 1;
}

SEC("xdp")
int xdp_firewall(struct xdp_md *ctx)
{
	u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end, *l4;
	u64 bytes = end - data;
	struct ethhdr *eth = (void *)data;
	u8 *next = data + sizeof(*eth);
	struct ports *ports;
	u16 proto;
	u8 l4_proto;
	int i;

	if (next > end)
		return count(XDP_ABORTED, bytes);
	proto = bswap16(eth->proto);
#pragma unroll
	for (i = 0; i < 2; i++) {
		struct vlanhdr *vlan = (void *)next;

		if (proto != ETH_8021Q && proto != ETH_8021AD)
			break;
		next += sizeof(*vlan);
		if (next > end)
			return count(XDP_ABORTED, bytes);
		proto = bswap16(vlan->proto);
	}
	if (proto == ETH_IP) {
		struct iphdr *ip = (void *)next;
		u32 ihl;

		if (next + sizeof(*ip) > end)
			return count(XDP_ABORTED, bytes);
		ihl = (ip->version_ihl & 0xf) * 4;
		if (ihl < sizeof(*ip))
			return count(XDP_ABORTED, bytes);
		if (source_is_blocked(ip->saddr))
			return count(XDP_DROP, bytes);
		/* Later fragments carry no ports. */
		if (bswap16(ip->frag_off) & 0x1fff)
			return count(XDP_PASS, bytes);
		l4_proto = ip->protocol;
		l4 = next + ihl;
	} else if (proto == ETH_IPV6) {
		struct ipv6hdr *ip = (void *)next;

		l4 = next + sizeof(*ip);
		if (l4 > end)
			return count(XDP_ABORTED, bytes);
		l4_proto = ip->nexthdr;
	} else {
		return count(XDP_PASS, bytes);
	}
	if (l4_proto != PROTO_TCP && l4_proto != PROTO_UDP)
		return count(XDP_PASS, bytes);
	ports = (void *)l4;
	if ((u8 *)(ports + 1) > end)
		return count(XDP_ABORTED, bytes);
	if (port_is_blocked(bswap16(ports->dest)))
		return count(XDP_DROP, bytes);
	return count(XDP_PASS, bytes);
}

LICENSE("Dual MIT/GPL");
