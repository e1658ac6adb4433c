/* A packet and maps: a flow's meter, as firewalls and load balancers have it.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

struct flow {
	u32 saddr, daddr;
	u16 source, dest;
	u32 protocol;
};

struct meter {
	u64 packets, bytes;
};

struct {
	uint(type, MAP_HASH);
	uint(max_entries, 4096);
	type_of(key, struct flow);
	type_of(value, struct meter);
} flows SEC(".maps");

struct {
	uint(type, MAP_PERCPU_ARRAY);
	uint(max_entries, 256);
	type_of(key, u32);
	type_of(value, struct meter);
} protocols SEC(".maps");

static always_inline void add(struct meter *m, u64 bytes)
{
	m->packets++;
	m->bytes += bytes;
}

SEC("xdp") int flow_meter(struct xdp_md *ctx)
{
	u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)data;
	struct iphdr *ip = (void *)(eth + 1);
	struct meter *meter, first = { 1, end - data };
	struct flow key = {};
	struct ports *ports;
	u32 protocol, header;

	if ((u8 *)(ip + 1) > end)
		return XDP_DROP;
	header = (ip->version_ihl & 15) * 4;
	if (eth->proto != bswap16(ETH_IP) || header < sizeof(*ip))
		return XDP_PASS;
	protocol = ip->protocol;
	meter = map_lookup_elem(&protocols, &protocol);
	if (meter)
		add(meter, end - data);
	ports = (void *)((u8 *)ip + header);
	if ((u8 *)(ports + 1) > end)
		return XDP_DROP;
	key.saddr = ip->saddr;
	key.daddr = ip->daddr;
	key.source = ports->source;
	key.dest = ports->dest;
	key.protocol = protocol;
	meter = map_lookup_elem(&flows, &key);
	if (meter)
		add(meter, end - data);
	else
		map_update_elem(&flows, &key, &first, ANY);
	return XDP_PASS;
}

LICENSE("Dual MIT/GPL");
