/* Extensions of `gateway`. Made from its description; do not edit. */
#ifndef HOST_GATEWAY_H
#define HOST_GATEWAY_H

#ifndef __ksym
#define __ksym __attribute__((section(".ksyms")))
#endif

/* A request, as extensions see it. */
struct request {
	/* The path and the query, as the client sent them. */
	u32 target;
	u32 target_end;
	/* Address of the client; one of IPv4 is behind ten bytes of zeros and two of ff. Read only. */
	u8 client[16];
	/* Port of the client. Read only. */
	u16 port;
	/* 1 GET, 2 HEAD, 3 POST, 4 PUT, 5 DELETE, 6 OPTIONS, 7 PATCH, 0 any other. Read only. */
	u8 method;
	u8 __pad0[1];
	/* What the client is answered when the request is refused. May be written: 400 to 599. */
	u16 status;
	u8 __pad1[2];
	/* Number of the upstream that gets it: 0 is the first of the command line. May be written: 0 to 15. */
	u32 upstream;
	/* For the extensions that come after, and for the hook `response` of the same request. May be written. */
	u32 mark;
};

/* Called for each request before it is passed on: 0 passes it on, 1 answers with `status`.
 * Returns 0 to 1; the first other than 0 counts. Without an extension: open, 0; with one that was refused: closed, 1.
 * Executes 20000 instructions at most.
 * Helpers: map_lookup_elem, map_update_elem, map_delete_elem, map_push_elem, map_pop_elem, map_peek_elem, map_lookup_percpu_elem, for_each_map_elem, spin_lock, spin_unlock, loop, get_prandom_u32, get_smp_processor_id, ktime_get_ns, ktime_get_boot_ns, ktime_get_coarse_ns, ringbuf_output, ringbuf_reserve, ringbuf_submit, ringbuf_discard, ringbuf_query, strtol, strtoul, strncmp, snprintf.
 * Functions: gw_header, gw_set_header, gw_remove_header, gw_set_target, gw_replace_prefix. */
#define HOOK_REQUEST SEC("hook/request@1")
/* int f(struct request *ctx) */

/* A response, as extensions see it. */
struct response {
	/* Address of the client; one of IPv4 is behind ten bytes of zeros and two of ff. Read only. */
	u8 client[16];
	/* Number of the upstream that gave it. Read only. */
	u32 upstream;
	/* From the request's head to the response's, in microseconds. Read only. */
	u32 microseconds;
	/* What extensions of the hook `request` left. May be written. */
	u32 mark;
	/* May be written: 200 to 599. */
	u16 status;
	u8 __pad0[2];
};

/* Called for each response before the client gets it.
 * Returns 0 to 0; the first other than 0 counts. Without an extension: open, 0; with one that was refused: open, 0.
 * Executes 20000 instructions at most.
 * Helpers: map_lookup_elem, map_update_elem, map_delete_elem, map_push_elem, map_pop_elem, map_peek_elem, map_lookup_percpu_elem, for_each_map_elem, spin_lock, spin_unlock, loop, get_prandom_u32, get_smp_processor_id, ktime_get_ns, ktime_get_boot_ns, ktime_get_coarse_ns, ringbuf_output, ringbuf_reserve, ringbuf_submit, ringbuf_discard, ringbuf_query, strtol, strtoul, strncmp, snprintf.
 * Functions: gw_header, gw_set_header, gw_remove_header. */
#define HOOK_RESPONSE SEC("hook/response@1")
/* int f(struct response *ctx) */

/* Copies the value of a header field, as much as fits; gives its length, or -1 when there is no field of that name.
 * Of hooks: request, response. */
extern s64 gw_header(const void *name, u32 name__sz, void *value, u32 value__sz) __ksym;

/* Sets a header field, in the place of all of that name; gives 0, or -1 where it is not one, or the gateway's own.
 * Of hooks: request, response. */
extern s64 gw_set_header(const void *name, u32 name__sz, const void *value, u32 value__sz) __ksym;

/* Removes all header fields of a name; gives how many there were, or -1 where they are the gateway's own.
 * Of hooks: request, response. */
extern s64 gw_remove_header(const void *name, u32 name__sz) __ksym;

/* Has the upstream asked for this path and query; gives 0, or -1 where it is none. It begins with a slash.
 * Of hooks: request. */
extern s64 gw_set_target(const void *target, u32 target__sz) __ksym;

/* Puts bytes in the place of the target's first ones, so many; gives 0, or -1 where that makes no target.
 * Of hooks: request. */
extern s64 gw_replace_prefix(u32 bytes, const void *with, u32 with__sz) __ksym;

#endif
