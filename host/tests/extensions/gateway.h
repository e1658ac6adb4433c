/* Extensions of `gateway`. Made from its description; do not edit. */
#ifndef HOST_GATEWAY_H
#define HOST_GATEWAY_H

#ifndef __ksym
#define __ksym __attribute__((section(".ksyms")))
#endif

/* A request, as extensions see it. */
struct request {
	/* Address of the client. Read only. */
	u32 client;
	/* What the client is answered when the request is refused. May be written: 100 to 599. */
	u16 status;
	/* Read only. */
	u8 method;
	u8 __pad0[1];
	/* Notes of one extension to the next. May be written. */
	u8 notes[16];
	/* May be written: -5 to 5. */
	s32 weight;
	u8 __pad1[4];
	/* Read only. */
	u64 time;
};

/* Called for each request before it is passed on.
 * Returns 0 to 2; the first other than 0 counts. Without an extension: open, 0; with one that was refused: closed, 2.
 * Executes 5000 instructions at most.
 * Helpers: map_lookup_elem, map_update_elem, map_delete_elem, map_push_elem, map_pop_elem, map_peek_elem, map_lookup_percpu_elem, for_each_map_elem, spin_lock, spin_unlock, loop, get_prandom_u32, get_smp_processor_id, ktime_get_ns, ktime_get_boot_ns, ktime_get_coarse_ns, ringbuf_output, ringbuf_reserve, ringbuf_submit, ringbuf_discard, ringbuf_query, strtol, strtoul, strncmp, snprintf.
 * Functions: gw_header, gw_add, gw_panics. */
#define HOOK_REQUEST SEC("hook/request@1")
/* int f(struct request *ctx) */

/* A request's body. */
struct body {
	/* From its first byte to its end. */
	u32 bytes;
	u32 bytes_end;
	/* Bytes that are still to come. Read only. */
	u32 rest;
};

/* Returns 0 to 1; the first other than 0 counts. Without an extension: an error; with one that was refused: an error.
 * The packet may be written.
 * Helpers: map_lookup_elem, map_update_elem, map_delete_elem, map_push_elem, map_pop_elem, map_peek_elem, map_lookup_percpu_elem, for_each_map_elem, spin_lock, spin_unlock, loop, get_prandom_u32, get_smp_processor_id, ktime_get_ns, ktime_get_boot_ns, ktime_get_coarse_ns, ringbuf_output, ringbuf_reserve, ringbuf_submit, ringbuf_discard, ringbuf_query, strtol, strtoul, strncmp, snprintf. */
#define HOOK_BODY SEC("hook/body@1")
/* int f(struct body *ctx) */

/* Copies a header's value; gives its length, or -1 when there is none of that name.
 * Of hooks: request. */
extern s64 gw_header(const void *name, u32 name__sz, void *value, u32 value__sz) __ksym;

/* Adds a header.
 * Of hooks: request. */
extern int gw_add(const void *name, u32 name__sz, u32 value) __ksym;

/* Fails as no function should.
 * Of hooks: request. */
extern s64 gw_panics(void) __ksym;

#endif
