/* Counts packets by destination port on a raw socket and lets none through.
 * Socket filter: no direct packet access, so bytes are copied out; no GPL-only helper, so any licence.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

struct {
	uint(type, MAP_PERCPU_HASH);
	uint(max_entries, 65536);
	uint(map_flags, F_NO_PREALLOC);
	type_of(key, u32);
	type_of(value, u64);
} packets SEC(".maps");

SEC("socket")
int port_counter(struct __sk_buff *skb)
{
	struct iphdr ip;
	struct ports ports;
	u64 one = 1, *count;
	u32 key, offset = sizeof(struct ethhdr);

	if (skb->protocol != bswap16(ETH_IP) || skb_load_bytes(skb, offset, &ip, sizeof(ip)))
		return 0;
	if (ip.protocol != PROTO_TCP && ip.protocol != PROTO_UDP)
		return 0;
	/* Ports are in the first fragment only. */
	if (ip.frag_off & bswap16(0x1fff))
		return 0;
	offset += (ip.version_ihl & 0xf) * 4;
	if (skb_load_bytes(skb, offset, &ports, sizeof(ports)))
		return 0;
	key = ip.protocol << 16 | bswap16(ports.dest);
	count = map_lookup_elem(&packets, &key);
	if (count)
		*count += 1;
	else
		map_update_elem(&packets, &key, &one, NOEXIST);
	return 0;
}

LICENSE("MIT");
