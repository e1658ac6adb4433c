/* Rule: a reserved ring buffer record must be submitted or discarded on every path.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

struct {
	uint(type, MAP_RINGBUF);
	uint(max_entries, 4096);
} events SEC(".maps");

SEC("raw_tp/sys_enter")
int record_leaked(u64 *args)
{
	u64 *record = ringbuf_reserve(&events, sizeof(*record), 0);

	if (!record)
		return 0;
	*record = args[1];
	if (args[1] == 1)
		return 0;
	ringbuf_submit(record, 0);
	return 0;
} /* !! reference */

LICENSE("Dual MIT/GPL");
