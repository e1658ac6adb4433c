/* Meters flows at the traffic control hook and drops those over a byte budget.
 * tc classifier, direct packet access, an LRU hash, global data, a subprogram.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

struct flow {
	u32 saddr, daddr;
	u16 sport, dport;
	u8 protocol, pad[3];
};

struct usage {
	u64 packets, bytes, last_ns;
};

struct {
	uint(type, MAP_LRU_HASH);
	uint(max_entries, 4096);
	type_of(key, struct flow);
	type_of(value, struct usage);
} flows SEC(".maps");

/* Bytes that one flow may send; 0: no limit. Set before loading. */
const volatile u64 byte_budget = 0;
u64 not_ip = 0, dropped = 0;

static noinline int meter(struct flow *flow, u32 bytes)
{
	struct usage *usage, fresh = { 1, bytes, 0 };

	if (!flow)
		return TC_ACT_OK;
	fresh.last_ns = ktime_get_ns();
	usage = map_lookup_elem(&flows, flow);
	if (!usage) {
		map_update_elem(&flows, flow, &fresh, NOEXIST);
		return TC_ACT_OK;
	}
	__sync_fetch_and_add(&usage->packets, 1);
	__sync_fetch_and_add(&usage->bytes, bytes);
	usage->last_ns = fresh.last_ns;
	if (byte_budget && usage->bytes > byte_budget) {
		__sync_fetch_and_add(&dropped, 1);
		return TC_ACT_SHOT;
	}
	return TC_ACT_OK;
}

SEC("tc")
int tc_meter(struct __sk_buff *skb)
{
	u8 *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = (void *)data;
	struct iphdr *ip = (void *)(eth + 1);
	struct flow flow = {};
	struct ports ports;
	u32 ihl;

	if ((u8 *)(ip + 1) > end || eth->proto != bswap16(ETH_IP)) {
		__sync_fetch_and_add(&not_ip, 1);
		return TC_ACT_OK;
	}
	flow.saddr = ip->saddr;
	flow.daddr = ip->daddr;
	flow.protocol = ip->protocol;
	ihl = (ip->version_ihl & 0xf) * 4;
	/* Ports are in the first fragment only. */
	if ((flow.protocol == PROTO_TCP || flow.protocol == PROTO_UDP) &&
	    !(ip->frag_off & bswap16(0x1fff)) &&
	    !skb_load_bytes(skb, sizeof(*eth) + ihl, &ports, sizeof(ports))) {
		flow.sport = bswap16(ports.source);
		flow.dport = bswap16(ports.dest);
	}
	return meter(&flow, skb->len);
}

LICENSE("Dual MIT/GPL");
