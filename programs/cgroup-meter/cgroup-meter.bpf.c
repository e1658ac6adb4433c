/* Meters what leaves a control group, by IP protocol, and cuts it off over a budget.
 * cgroup_skb/egress: 1 lets a packet pass, 0 drops it.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

struct {
	uint(type, MAP_ARRAY);
	uint(max_entries, 256);
	type_of(key, u32);
	type_of(value, u64);
} bytes_by_protocol SEC(".maps");

/* Bytes; 0: no limit. Set before loading. */
const volatile u64 budget = 0;
u64 total = 0, dropped = 0;

SEC("cgroup_skb/egress")
int cgroup_meter(struct __sk_buff *skb)
{
	u8 *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	u32 protocol = 0;
	u64 *bytes;

	/* The packet starts at the network header here. */
	if (skb->protocol == bswap16(ETH_IP) && data + sizeof(struct iphdr) <= end)
		protocol = ((struct iphdr *)data)->protocol;
	else if (skb->protocol == bswap16(ETH_IPV6) && data + sizeof(struct ipv6hdr) <= end)
		protocol = ((struct ipv6hdr *)data)->nexthdr;
	bytes = map_lookup_elem(&bytes_by_protocol, &protocol);
	if (bytes)
		__sync_fetch_and_add(bytes, skb->len);
	__sync_fetch_and_add(&total, skb->len);
	if (budget && total > budget) {
		__sync_fetch_and_add(&dropped, 1);
		return 0;
	}
	return 1;
}

LICENSE("Dual MIT/GPL");
