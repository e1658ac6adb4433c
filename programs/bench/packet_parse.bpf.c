/* A frame taken apart: Ethernet, VLAN tags, IPv4 with options, TCP; its addresses, ports and flags mixed to a number.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "bench.h"

struct tcphdr {
	u16 source, dest;
	u32 seq, ack;
	u8 offset, flags;
	u16 window, check, urgent;
};

enum { NOT_IP = 1, NOT_TCP, FRAGMENT, BROKEN };

BENCH(packet_parse, sizeof(struct ethhdr))
{
	const u8 *at = data + sizeof(struct ethhdr);
	u16 proto = bswap16(load16(data + 12));
	const struct iphdr *ip;
	const struct tcphdr *tcp;
	u32 header, total, length, i;

	for (i = 0; i < 2; i++) {
		if (proto != ETH_8021Q && proto != ETH_8021AD)
			break;
		if (at + sizeof(struct vlanhdr) > end)
			return BROKEN;
		proto = bswap16(load16(at + 2));
		at += sizeof(struct vlanhdr);
	}
	if (proto != ETH_IP)
		return NOT_IP;
	ip = (const void *)at;
	if (at + sizeof(*ip) > end)
		return BROKEN;
	header = (ip->version_ihl & 15) * 4;
	total = bswap16(ip->tot_len);
	if (ip->version_ihl >> 4 != 4 || header < sizeof(*ip) || total < header)
		return BROKEN;
	if (ip->protocol != PROTO_TCP)
		return NOT_TCP;
	if (bswap16(ip->frag_off) & 0x1fff)
		return FRAGMENT;
	tcp = (const void *)(at + header);
	if ((const u8 *)(tcp + 1) > end)
		return BROKEN;
	length = (tcp->offset >> 4) * 4;
	if (length < sizeof(*tcp) || header + length > total)
		return BROKEN;
	return (ip->saddr ^ rotl32(ip->daddr, 7)) + ((u32)tcp->source << 16 | tcp->dest) * 31 +
	       tcp->flags + (total - header - length);
}
