/* Extensions of `packet-filter`. Made from its description; do not edit. */
#ifndef HOST_PACKET_FILTER_H
#define HOST_PACKET_FILTER_H

#ifndef __ksym
#define __ksym __attribute__((section(".ksyms")))
#endif

/* A packet, as extensions see it. */
struct frame {
	/* What was captured of it, from its link header on. */
	u32 data;
	u32 data_end;
	/* Bytes that it had on the wire. Read only. */
	u32 length;
	/* Kind of its link header, as pcap numbers them: 1 is Ethernet. Read only. */
	u32 link;
	/* When it came, in nanoseconds since 1970. Read only. */
	u64 time;
	/* For the extensions that come after. May be written. */
	u32 mark;
	u8 __pad0[4];
};

/* Called for each packet: 1 lets it pass, 0 drops it; it passes when all extensions let it.
 * Returns 0 to 1; 0 ends it. Without an extension: open, 1; with one that was refused: closed, 0.
 * Executes 10000 instructions at most.
 * Helpers: map_lookup_elem, map_update_elem, map_delete_elem, map_push_elem, map_pop_elem, map_peek_elem, map_lookup_percpu_elem, for_each_map_elem, spin_lock, spin_unlock, loop, get_prandom_u32, get_smp_processor_id, ktime_get_ns, ktime_get_boot_ns, ktime_get_coarse_ns, ringbuf_output, ringbuf_reserve, ringbuf_submit, ringbuf_discard, ringbuf_query, strtol, strtoul, strncmp, snprintf. */
#define HOOK_PACKET SEC("hook/packet@1")
/* int f(struct frame *ctx) */

#endif
