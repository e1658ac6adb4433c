/* Rule: a record belongs to the reader once it is submitted.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

struct {
	uint(type, MAP_RINGBUF);
	uint(max_entries, 4096);
} events SEC(".maps");

SEC("raw_tp/sys_enter")
int record_used_after_submit(u64 *args)
{
	u64 *record = ringbuf_reserve(&events, sizeof(*record), 0);

	if (!record)
		return 0;
	ringbuf_submit(record, 0);
	*record = args[1]; /* !! bad_pointer */
	return 0;
}

LICENSE("Dual MIT/GPL");
