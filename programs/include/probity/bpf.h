/* What a BPF program in C needs and no more: section names, map definitions,
 * helper prototypes by number (include/uapi/linux/bpf.h of Linux documents each),
 * CO-RE accessors. Freestanding: no kernel or libc headers.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PROBITY_BPF_H
#define PROBITY_BPF_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;

#define NULL ((void *)0)
#define SEC(name) __attribute__((section(name), used))
#define LICENSE(text) char license_text[] SEC("license") = text
#define always_inline inline __attribute__((always_inline))
#define noinline __attribute__((noinline))
#define weak __attribute__((weak))
/* A structure of the kernel: field offsets are relocated to the running one. */
#define core __attribute__((preserve_access_index))

/* Members of a map definition in SEC(".maps"). */
#define uint(name, value) int (*name)[value]
#define type_of(name, value) __typeof__(value) *name
#define values(value...) __typeof__(value) *values[]

enum {
	MAP_HASH = 1,
	MAP_ARRAY = 2,
	MAP_PROG_ARRAY = 3,
	MAP_PERF_EVENT_ARRAY = 4,
	MAP_PERCPU_HASH = 5,
	MAP_PERCPU_ARRAY = 6,
	MAP_STACK_TRACE = 7,
	MAP_LRU_HASH = 9,
	MAP_LPM_TRIE = 11,
	MAP_ARRAY_OF_MAPS = 12,
	MAP_RINGBUF = 27,
};

enum { ANY = 0, NOEXIST = 1, EXIST = 2 };
#define F_CURRENT_CPU 0xffffffffULL
#define F_NO_PREALLOC 1

/* Helpers. */
static void *(*const map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const map_delete_elem)(void *map, const void *key) = (void *)3;
static u64 (*const ktime_get_ns)(void) = (void *)5;
static u32 (*const get_prandom_u32)(void) = (void *)7;
static u32 (*const get_smp_processor_id)(void) = (void *)8;
static long (*const tail_call)(void *ctx, void *programs, u32 index) = (void *)12;
static u64 (*const get_current_pid_tgid)(void) = (void *)14;
static u64 (*const get_current_uid_gid)(void) = (void *)15;
static long (*const get_current_comm)(void *buffer, u32 size) = (void *)16;
static long (*const perf_event_output)(void *ctx, void *map, u64 flags, void *data, u64 size) = (void *)25;
static long (*const skb_load_bytes)(const void *skb, u32 offset, void *to, u32 size) = (void *)26;
static u64 (*const get_current_task)(void) = (void *)35;
static long (*const probe_read_user_str)(void *to, u32 size, const void *from) = (void *)114;
static long (*const probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static long (*const probe_read_kernel_str)(void *to, u32 size, const void *from) = (void *)115;
static long (*const ringbuf_output)(void *ring, void *data, u64 size, u64 flags) = (void *)130;
static void *(*const ringbuf_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*const ringbuf_submit)(void *record, u64 flags) = (void *)132;
static void (*const ringbuf_discard)(void *record, u64 flags) = (void *)133;

/* Reads one field of a kernel structure, following pointers one at a time. */
#define core_field(pointer, field) ({ \
	__typeof__((pointer)->field) value_; \
	probe_read_kernel(&value_, sizeof(value_), __builtin_preserve_access_index(&(pointer)->field)); \
	value_; })
#define core_field_exists(type, field) __builtin_preserve_field_info(((type *)0)->field, 2)

#define barrier() __asm__ volatile("" ::: "memory")
#define bswap16(x) __builtin_bswap16(x)
#define bswap32(x) __builtin_bswap32(x)
#define clamp_to_mask(x, mask) ({ u64 x_ = (x); __asm__ volatile("%0 &= %1" : "+r"(x_) : "i"(mask)); x_; })

/* Registers of a probed function, x86-64 (struct pt_regs of the kernel's ptrace.h). */
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#define ARG1(regs) ((regs)->di)
#define ARG2(regs) ((regs)->si)
#define ARG3(regs) ((regs)->dx)
#define ARG4(regs) ((regs)->cx)
#define RET(regs) ((regs)->ax)

/* Packet contexts: the user-visible structures of linux/bpf.h, as far as they are used. */
struct xdp_md {
	u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};
enum { XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT };
struct __sk_buff {
	u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority;
	u32 ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid, data, data_end, napi_id;
	u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port, data_meta;
};
enum { TC_ACT_OK = 0, TC_ACT_SHOT = 2 };

struct ethhdr { u8 dst[6], src[6]; u16 proto; } __attribute__((packed));
struct vlanhdr { u16 tci, proto; };
struct iphdr {
	u8 version_ihl, tos;
	u16 tot_len, id, frag_off;
	u8 ttl, protocol;
	u16 check;
	u32 saddr, daddr;
};
struct ipv6hdr {
	u32 version_class_flow;
	u16 payload_len;
	u8 nexthdr, hop_limit;
	u32 saddr[4], daddr[4];
};
struct ports { u16 source, dest; };
enum { ETH_IP = 0x0800, ETH_IPV6 = 0x86dd, ETH_8021Q = 0x8100, ETH_8021AD = 0x88a8 };
enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17 };

#endif
