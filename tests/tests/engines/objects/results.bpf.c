// Programs that say what they return when they are run on 64 zero bytes, or on no arguments.
// Built by: cargo xtask programs --write
typedef signed int s32;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef signed long long s64;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]
#define GIVES(n) __attribute__((btf_decl_tag("comment:test_retval=" #n)))
#define noinline __attribute__((noinline))

enum { HASH = 1, ARRAY, PROG_ARRAY, LRU_HASH = 9, LPM_TRIE = 11, ARRAY_OF_MAPS, QUEUE = 22, STACK, RINGBUF = 27 };

struct __sk_buff {
	u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority;
	u32 ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid, data, data_end;
};
struct xdp_md {
	u32 data, data_end, data_meta;
};
struct bpf_raw_tracepoint_args {
	u64 args[1];
};
struct bpf_dynptr {
	u64 opaque[2];
} __attribute__((aligned(8)));
struct bpf_iter_num {
	u64 opaque[1];
} __attribute__((aligned(8)));

static void *(*const lookup)(void *map, const void *key) = (void *)1;
static long (*const update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const delete)(void *map, const void *key) = (void *)3;
static long (*const skb_store_bytes)(void *skb, u32 at, const void *from, u32 len, u64 flags) = (void *)9;
static long (*const tail_call)(void *ctx, void *table, u32 index) = (void *)12;
static long (*const skb_load_bytes)(const void *skb, u32 at, void *to, u32 len) = (void *)26;
static s64 (*const csum_diff)(u32 *from, u32 from_size, u32 *to, u32 to_size, u32 seed) = (void *)28;
static long (*const skb_change_tail)(void *skb, u32 len, u64 flags) = (void *)38;
static long (*const xdp_adjust_head)(void *ctx, int by) = (void *)44;
static long (*const xdp_adjust_tail)(void *ctx, int by) = (void *)65;
static long (*const push)(void *map, const void *value, u64 flags) = (void *)87;
static long (*const pop)(void *map, void *value) = (void *)88;
static long (*const peek)(void *map, void *value) = (void *)89;
static long (*const strtol)(const char *text, u64 len, u64 flags, long *to) = (void *)105;
static void *(*const ringbuf_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*const ringbuf_submit)(void *record, u64 flags) = (void *)132;
static void (*const ringbuf_discard)(void *record, u64 flags) = (void *)133;
static u64 (*const ringbuf_query)(void *ring, u64 what) = (void *)134;
static long (*const for_each)(void *map, void *f, void *data, u64 flags) = (void *)164;
static long (*const snprintf)(char *to, u32 size, const char *format, u64 *data, u32 len) = (void *)165;
static long (*const loop)(u32 times, void *f, void *data, u64 flags) = (void *)181;
static long (*const strncmp)(const char *a, u32 size, const char *b) = (void *)182;
static long (*const dynptr_from_mem)(void *data, u32 size, u64 flags, struct bpf_dynptr *to) = (void *)197;
static long (*const dynptr_read)(void *to, u32 len, const struct bpf_dynptr *from, u32 at,
				 u64 flags) = (void *)201;
static long (*const dynptr_write)(const struct bpf_dynptr *to, u32 at, void *from, u32 len,
				  u64 flags) = (void *)202;

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __attribute__((section(".ksyms")));
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __attribute__((section(".ksyms")));
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __attribute__((section(".ksyms")));

char _license[] SEC("license") = "Dual MIT/GPL";

struct {
	__uint(type, HASH);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, u64);
} two SEC(".maps");

struct {
	__uint(type, LRU_HASH);
	__uint(max_entries, 64);
	__type(key, u32);
	__type(value, u64);
} recent SEC(".maps");

struct prefix {
	u32 bits;
	u8 address[4];
};

struct {
	__uint(type, LPM_TRIE);
	__uint(max_entries, 4);
	__uint(map_flags, 1);
	__type(key, struct prefix);
	__type(value, u32);
} routes SEC(".maps");

struct {
	__uint(type, QUEUE);
	__uint(max_entries, 2);
	__type(value, u32);
} queue SEC(".maps");

struct {
	__uint(type, STACK);
	__uint(max_entries, 2);
	__type(value, u32);
} stack SEC(".maps");

struct {
	__uint(type, RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, ARRAY);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} squares SEC(".maps");

struct inner {
	__uint(type, ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} within SEC(".maps");

struct {
	__uint(type, ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { [1] = &within } };

int lands(struct __sk_buff *skb);

struct {
	__uint(type, PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, int(struct __sk_buff *));
} jumps SEC(".maps") = { .values = { [1] = lands } };

u64 calls;

// A full map, an element that is there and one that is not: each error as its number.
SEC("tc") GIVES(-7) int full_map(struct __sk_buff *skb)
{
	u64 value = 1;

	for (int i = 0; i < 3; i++) {
		u32 key = i;
		long failed = update(&two, &key, &value, 0);

		if (failed)
			return key == 2 ? failed : 0;
	}
	return 0;
}

SEC("tc") GIVES(-17) int already_there(struct __sk_buff *skb)
{
	u32 key = 9;
	u64 value = 1;

	if (update(&recent, &key, &value, 1))
		return 0;
	return update(&recent, &key, &value, 1);
}

SEC("tc") GIVES(-2) int not_there(struct __sk_buff *skb)
{
	u32 key = 5;
	u64 value = 1;

	return delete(&recent, &key) == update(&recent, &key, &value, 2) ? delete(&recent, &key) : 0;
}

SEC("tc") GIVES(24) int longest_prefix(struct __sk_buff *skb)
{
	static const u8 lengths[] = { 8, 24, 16 };
	struct prefix to = { 32, { 10, 1, 2, 3 } };
	u32 *found;

	for (int i = 0; i < 3; i++) {
		struct prefix route = { lengths[i], { 10, 1, 2, 0 } };
		u32 bits = lengths[i];

		if (update(&routes, &route, &bits, 0))
			return 1;
	}
	found = lookup(&routes, &to);
	return found ? *found : 0;
}

// First in first out, last in first out, and what a full queue does with and without the flag that makes room.
SEC("tc") GIVES(0x2331) int queues(struct __sk_buff *skb)
{
	u32 all = 0, out = 0;

	for (u32 i = 1; i <= 3; i++) {
		if (push(&queue, &i, 0) && push(&queue, &i, 2))
			return 1;
		if (push(&stack, &i, i == 3 ? 2 : 0))
			return 2;
	}
	pop(&queue, &out);
	all = out;
	pop(&queue, &out);
	all = all << 4 | out;
	pop(&stack, &out);
	all = all << 4 | out;
	all = all << 4 | (pop(&queue, &out) == -2 && !peek(&stack, &out));
	return all;
}

// Records of 8 bytes and their headers; a discarded one counts until it is passed over.
SEC("raw_tp") GIVES(48) int ring_fill(void *ctx)
{
	for (int i = 0; i < 3; i++) {
		u64 *record = ringbuf_reserve(&ring, 8, 0);

		if (!record)
			return -1;
		*record = i;
		if (i == 1)
			ringbuf_discard(record, 1);
		else
			ringbuf_submit(record, 1);
	}
	return ringbuf_query(&ring, 0);
}

SEC("raw_tp") GIVES(0) int ring_too_large(void *ctx)
{
	void *record = ringbuf_reserve(&ring, 4096, 0);

	if (!record)
		return 0;
	ringbuf_discard(record, 0);
	return 1;
}

SEC("tc") GIVES(40) int lands(struct __sk_buff *skb)
{
	return 40 + calls;
}

static noinline int jump(struct __sk_buff *skb, u32 to)
{
	int here = 7;

	tail_call(skb, &jumps, to);
	// Not to be known where it is called.
	asm volatile("" : "+r"(here));
	return here;
}

// A jump to an empty slot goes on, one in a subprogram ends the subprogram alone.
SEC("tc") GIVES(82) int tail_calls(struct __sk_buff *skb)
{
	int got;

	calls += jump(skb, 0) == 7;
	got = jump(skb, 1);
	return got + jump(skb, 1);
}

SEC("tc") GIVES(5) int map_of_maps(struct __sk_buff *skb)
{
	u32 empty = 0, filled = 1, key = 0;
	u64 five = 5, *value;
	void *inner = lookup(&outer, &filled);

	if (!inner || lookup(&outer, &empty))
		return 1;
	if (update(inner, &key, &five, 0))
		return 2;
	value = lookup(inner, &key);
	return value ? *value : 3;
}

static long add(void *map, u32 *key, u64 *value, u64 *sum)
{
	*sum += *value + *key;
	return *key == 2;
}

static long square(u32 n, void *ctx)
{
	u64 value = n * n;

	return update(&squares, &n, &value, 0) != 0;
}

// A loop that an update behind the array's end stops, then a walk that stops by itself.
SEC("tc") GIVES(0x508) int callbacks(struct __sk_buff *skb)
{
	u64 sum = 0;
	long laps = loop(100, square, 0, 0);

	for_each(&squares, add, &sum, 0);
	return laps << 8 | sum;
}

SEC("syscall") GIVES(45) int iterator(void *ctx)
{
	struct bpf_iter_num it;
	int sum = 0, *n;

	bpf_iter_num_new(&it, 0, 10);
	while ((n = bpf_iter_num_next(&it)))
		sum += *n;
	bpf_iter_num_destroy(&it);
	return sum;
}

SEC("tc") GIVES(-1231) int texts(struct __sk_buff *skb)
{
	static const char format[] = "%d-%s:%x";
	static const char name[] = "ab";
	char text[16] = {};
	u64 data[3];
	long number = 0, len;

	data[0] = -123;
	data[1] = (u64)name;
	data[2] = 255;
	len = snprintf(text, sizeof(text), format, data, sizeof(data));

	if (strncmp(text, 10, "-123-ab:ff") || len != 11)
		return len;
	if (strtol(text, 8, 10, &number) != 4)
		return 1;
	return number * 10 - 1;
}

SEC("tc") GIVES(0xff) int dynptr(struct __sk_buff *skb)
{
	static u8 memory[32];
	struct bpf_dynptr p;
	u64 value = 0xff, back = 0;

	if (dynptr_from_mem(memory, sizeof(memory), 0, &p))
		return 1;
	if (dynptr_write(&p, 24, &value, 8, 0) || dynptr_write(&p, 25, &value, 8, 0) != -7)
		return 2;
	return dynptr_read(&back, 8, &p, 24, 0) ? 3 : (int)back;
}

// What is stored in the packet is loaded again, in either order of bytes; behind its end there is nothing.
SEC("tc") GIVES(0x201) int packet_bytes(struct __sk_buff *skb)
{
	u16 bytes = 0x102, back = 0;

	if (skb_store_bytes(skb, 20, &bytes, 2, 0) || skb_load_bytes(skb, 20, &back, 2))
		return 1;
	if (skb_load_bytes(skb, skb->len - 1, &bytes, 2) != -14)
		return 2;
	return __builtin_bswap16(back);
}

SEC("tc") GIVES(100) int longer(struct __sk_buff *skb)
{
	return skb_change_tail(skb, 100, 0) ? 1 : skb->len;
}

SEC("tc") GIVES(0x4060) int checksum(struct __sk_buff *skb)
{
	u32 from[2] = { 1, 2 }, to[2] = { 0x2030, 0x2033 };
	u64 sum = csum_diff(from, sizeof(from), to, sizeof(to), 0);

	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

SEC("xdp") GIVES(2) int frame(struct xdp_md *xdp)
{
	u8 *start, *end;

	if (xdp_adjust_head(xdp, -14) || xdp_adjust_tail(xdp, 6))
		return 0;
	start = (void *)(u64)xdp->data;
	end = (void *)(u64)xdp->data_end;
	if (end - start != 84 || start + 84 > end)
		return 1;
	start[0] = 0xaa;
	return start[83] ? 1 : 2;
}

SEC("xdp") GIVES(-22) int frame_too_short(struct xdp_md *xdp)
{
	return xdp_adjust_tail(xdp, -60);
}

// Division by zero gives 0 and the dividend; the least number by -1 is itself.
SEC("raw_tp") GIVES(0x1e) int arithmetic(void *ctx)
{
	volatile u64 zero = 0, n = 30;
	volatile u32 shift = 33;
	u32 one = 1;

	asm volatile("%[one] <<= %[shift]" : [one] "+r"(one) : [shift] "r"((u64)shift & 31));
	if (one != 2)
		return 1;
	return n / zero + n % zero;
}

static long (*const check_mtu)(void *ctx, u32 interface, u32 *mtu, int by, u64 flags) = (void *)163;

// The loopback interface takes 64 KiB: its own number, and 0 for that of the packet.
SEC("tc") GIVES(0) int mtu_of_packets(struct __sk_buff *skb)
{
	u32 mtu = 0;

	if (check_mtu(skb, 0, &mtu, 0, 0) || mtu != 65536)
		return 1;
	if (check_mtu(skb, 1, &mtu, 0, 0) || check_mtu(skb, 1, &mtu, 1, 0) != 1)
		return 2;
	mtu = 65537;
	if (check_mtu(skb, 0, &mtu, 0, 0) != 1 || mtu != 65536 || check_mtu(skb, 0, &mtu, 0, 1) != -22)
		return 3;
	mtu = 0;
	if (check_mtu(skb, 0, &mtu, 1, 1) != -22 || check_mtu(skb, 0, &mtu, 0, 2) != -22 || mtu)
		return 4;
	if (check_mtu(skb, 0, &mtu, 0, 1) || mtu != 65536)
		return 5;
	mtu = 0;
	if (check_mtu(skb, 0, &mtu, 65536 + 14 - 64, 0) || check_mtu(skb, 0x7fffffff, &mtu, 0, 0) != -19)
		return 6;
	return 0;
}

SEC("xdp") GIVES(0) int mtu_of_frames(struct xdp_md *xdp)
{
	u32 mtu = 0;

	if (check_mtu(xdp, 0, &mtu, 0, 0) || mtu != 65536)
		return 1;
	if (check_mtu(xdp, 1, &mtu, 1, 0) != 1 || check_mtu(xdp, 0, &mtu, 0, 1) != -22)
		return 2;
	mtu = 0;
	if (check_mtu(xdp, 0, &mtu, 65536 + 14 - 64 + 1, 0) != 1 || mtu != 65536)
		return 3;
	return check_mtu(xdp, 77, &mtu, 0, 0) == -19 ? 0 : 4;
}
