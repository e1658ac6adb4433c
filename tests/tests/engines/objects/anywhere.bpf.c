// Kernel functions that read at any address: each program returns 0, or the line that is wrong.
// Built by: cargo xtask programs --write
typedef unsigned char u8;
typedef unsigned int u32;
typedef signed long long s64;
typedef unsigned long long u64;
typedef unsigned long size_t;

#define SEC(name) __attribute__((section(name), used))
#define GIVES(n) __attribute__((btf_decl_tag("comment:test_retval=" #n)))
#define KSYM __attribute__((section(".ksyms")))
#define noinline __attribute__((noinline))
#define IS(call, n) do { if ((call) != (n)) return __LINE__; } while (0)

#define ENOENT 2
#define E2BIG 7
#define EFAULT 14
#define EINVAL 22
#define ERANGE 34

struct __sk_buff {
	u32 len;
};
struct bpf_iter_bits {
	u64 opaque[2];
} __attribute__((aligned(8)));

static long (*const loop)(u32 times, void *f, void *data, u64 flags) = (void *)181;

extern int bpf_strcmp(const char *s1__ign, const char *s2__ign) KSYM;
extern int bpf_strcasecmp(const char *s1__ign, const char *s2__ign) KSYM;
extern int bpf_strchr(const char *s__ign, char c) KSYM;
extern int bpf_strchrnul(const char *s__ign, char c) KSYM;
extern int bpf_strnchr(const char *s__ign, size_t count, char c) KSYM;
extern int bpf_strrchr(const char *s__ign, int c) KSYM;
extern int bpf_strlen(const char *s__ign) KSYM;
extern int bpf_strnlen(const char *s__ign, size_t count) KSYM;
extern int bpf_strspn(const char *s__ign, const char *accept__ign) KSYM;
extern int bpf_strcspn(const char *s__ign, const char *reject__ign) KSYM;
extern int bpf_strstr(const char *s1__ign, const char *s2__ign) KSYM;
extern int bpf_strnstr(const char *s1__ign, const char *s2__ign, size_t len) KSYM;
extern int bpf_iter_bits_new(struct bpf_iter_bits *it, const u64 *unsafe_ptr__ign, u32 nr_words) KSYM;
extern int *bpf_iter_bits_next(struct bpf_iter_bits *it) KSYM;
extern void bpf_iter_bits_destroy(struct bpf_iter_bits *it) KSYM;

char _license[] SEC("license") = "Dual MIT/GPL";

char text[] = "hello, world";
char letters[65600];
char others[65600];
u64 words[512] = { 5 };

// None, what no processor addresses, and a page that is never there.
#define NONE ((const char *)0)
#define NOWHERE ((const char *)(1ull << 62))
#define UNMAPPED ((const char *)-8192ll)

SEC("tc") GIVES(0) int comparisons(struct __sk_buff *skb)
{
	char high[2] = { 0xe9, 0 }, low[2] = { 0x61, 0 };

	IS(bpf_strcmp(text, "hello, world"), 0);
	IS(bpf_strcmp(text, "hello, worle"), -1);
	IS(bpf_strcmp(text, "hello, World"), 1);
	IS(bpf_strcmp(text, "hello"), 1);
	IS(bpf_strcmp("", text), -1);
	IS(bpf_strcmp(high, low), 1);
	IS(bpf_strcasecmp(text, "HELLO, wORLD"), 0);
	IS(bpf_strcasecmp(text, "HELLO, wORLE"), -1);
	IS(bpf_strcasecmp("[", "{"), -1);
	IS(bpf_strcasecmp("\xc9\xd7\xde", "\xe9\xd7\xfe"), 0);
	IS(bpf_strcasecmp("\xd7", "\xf7"), -1);
	IS(bpf_strcasecmp("\xdf", "\xff"), -1);
	IS(bpf_strcmp(NONE, text), -ERANGE);
	IS(bpf_strcmp(text, NONE), -ERANGE);
	IS(bpf_strcmp(text, NOWHERE), -ERANGE);
	IS(bpf_strcmp(UNMAPPED, NONE), -ERANGE);
	IS(bpf_strcasecmp(text, UNMAPPED), -EFAULT);
	return 0;
}

SEC("tc") GIVES(0) int places(struct __sk_buff *skb)
{
	static const char bytes[] = "a\xc8" "b";

	IS(bpf_strlen(text), 12);
	IS(bpf_strlen(""), 0);
	IS(bpf_strnlen(text, 5), 5);
	IS(bpf_strnlen(text, 0), 0);
	IS(bpf_strnlen(text, 100), 12);
	IS(bpf_strnlen(text, -1), 12);
	IS(bpf_strchr(text, 'o'), 4);
	IS(bpf_strchr(text, 'x'), -ENOENT);
	IS(bpf_strchr(text, 0), 12);
	IS(bpf_strnchr(text, 4, 'o'), -ENOENT);
	IS(bpf_strnchr(text, 5, 'o'), 4);
	IS(bpf_strnchr(text, 0, 'h'), -ENOENT);
	IS(bpf_strchrnul(text, 'w'), 7);
	IS(bpf_strchrnul(text, 'x'), 12);
	IS(bpf_strrchr(text, 'l'), 10);
	IS(bpf_strrchr(text, 0), 12);
	IS(bpf_strrchr(text, 'x'), -ENOENT);
	IS(bpf_strrchr(text, 'l' + 256), -ENOENT);
	IS(bpf_strrchr(bytes, 0xc8), 1);
	IS(bpf_strrchr(bytes, -56), -ENOENT);
	IS(bpf_strchr(bytes, 0xc8), 1);
	IS(bpf_strlen(NONE), -ERANGE);
	IS(bpf_strnlen(NONE, 0), -ERANGE);
	IS(bpf_strnlen(UNMAPPED, 0), 0);
	IS(bpf_strlen(UNMAPPED), -EFAULT);
	IS(bpf_strchr(NOWHERE, 'a'), -ERANGE);
	IS(bpf_strchrnul(UNMAPPED, 'a'), -EFAULT);
	IS(bpf_strrchr(UNMAPPED, 'a'), -EFAULT);
	return 0;
}

SEC("tc") GIVES(0) int sets_and_parts(struct __sk_buff *skb)
{
	IS(bpf_strspn(text, "ehl"), 4);
	IS(bpf_strspn(text, ""), 0);
	IS(bpf_strspn("", "a"), 0);
	IS(bpf_strspn("aaa", "a"), 3);
	IS(bpf_strcspn(text, "ow"), 4);
	IS(bpf_strcspn(text, ""), 12);
	IS(bpf_strcspn(text, "h"), 0);
	IS(bpf_strspn(text, UNMAPPED), -EFAULT);
	IS(bpf_strspn("", UNMAPPED), 0);
	IS(bpf_strcspn(text, NONE), -ERANGE);
	IS(bpf_strstr(text, "world"), 7);
	IS(bpf_strstr(text, ""), 0);
	IS(bpf_strstr("", ""), 0);
	IS(bpf_strstr(text, "worlds"), -ENOENT);
	IS(bpf_strstr(text, "lo,"), 3);
	IS(bpf_strstr("aab", "ab"), 1);
	IS(bpf_strnstr(text, "world", 11), -ENOENT);
	IS(bpf_strnstr(text, "world", 12), 7);
	IS(bpf_strnstr(text, "world", -1), 7);
	IS(bpf_strnstr(text, "hello", 5), 0);
	IS(bpf_strnstr(text, "hello", 4), -ENOENT);
	IS(bpf_strnstr(text, "", 0), 0);
	IS(bpf_strnstr(text, "h", 0), -ENOENT);
	IS(bpf_strstr(UNMAPPED, ""), 0);
	IS(bpf_strstr(UNMAPPED, "a"), -EFAULT);
	IS(bpf_strstr(text, UNMAPPED), -EFAULT);
	IS(bpf_strstr(NONE, UNMAPPED), -ERANGE);
	return 0;
}

static long fill(u32 n, void *ctx)
{
	if (n < sizeof(letters)) {
		letters[n] = 'a';
		others[n] = n ? 'a' : 'b';
	}
	return 0;
}

// What goes on for longer than anybody looks at, and what ends at the last byte that is looked at.
SEC("tc") GIVES(0) int long_ones(struct __sk_buff *skb)
{
	loop(sizeof(letters), fill, 0, 0);
	IS(bpf_strlen(letters), -E2BIG);
	IS(bpf_strnlen(letters, 65535), 65535);
	IS(bpf_strnlen(letters, 65536), -E2BIG);
	IS(bpf_strnlen(letters, 65537), -E2BIG);
	IS(bpf_strcmp(letters, letters), -E2BIG);
	IS(bpf_strcmp(letters, others), -1);
	IS(bpf_strchr(letters, 'b'), -E2BIG);
	IS(bpf_strnchr(letters, 65535, 'b'), -ENOENT);
	IS(bpf_strchrnul(letters, 'b'), -E2BIG);
	IS(bpf_strrchr(letters, 'a'), -E2BIG);
	IS(bpf_strspn(letters, "a"), -E2BIG);
	IS(bpf_strspn("b", letters), -E2BIG);
	IS(bpf_strspn("a", letters), 1);
	IS(bpf_strcspn(letters, "b"), -E2BIG);
	IS(bpf_strcspn("c", letters), -E2BIG);
	IS(bpf_strstr(letters, "b"), -E2BIG);
	IS(bpf_strstr(letters, letters), -E2BIG);
	letters[65535] = 0;
	IS(bpf_strlen(letters), 65535);
	IS(bpf_strrchr(letters, 'a'), 65534);
	IS(bpf_strstr(letters, "b"), -ENOENT);
	letters[65535] = 'a';
	letters[65536] = 0;
	IS(bpf_strlen(letters), -E2BIG);
	return 0;
}

static noinline int length_of(const char *s)
{
	char own[4] = "xyz";

	asm volatile("" : : "r"(own) : "memory");
	return bpf_strlen(s) * 16 + bpf_strlen(own);
}

static long in_callback(u32 n, char *s)
{
	char own[4] = "ab";

	s[n & 15] = 'a' + n;
	asm volatile("" : : "r"(own) : "memory");
	return bpf_strstr(s, own) != -ENOENT;
}

// On the stack of the function itself, of its caller, and of the one that waits for a callback.
SEC("tc") GIVES(0) int on_stacks(struct __sk_buff *skb)
{
	char mine[16] = "on";
	long laps;

	asm volatile("" : : "r"(mine) : "memory");
	IS(bpf_strlen(mine), 2);
	IS(length_of(mine), 0x23);
	IS(bpf_strcmp(mine, "on"), 0);
	__builtin_memset(mine, 0, sizeof(mine));
	laps = loop(10, in_callback, mine, 0);
	IS(laps, 2);
	IS(bpf_strcmp(mine, "ab"), 0);
	IS(length_of(mine), 0x23);
	return 0;
}

static int sum_of(const u64 *from, u32 count, int *error)
{
	struct bpf_iter_bits it;
	int sum = 0, *bit;

	*error = bpf_iter_bits_new(&it, from, count);
	while ((bit = bpf_iter_bits_next(&it)))
		sum = sum * 3 + *bit + 1;
	bpf_iter_bits_destroy(&it);
	return sum;
}

SEC("tc") GIVES(0) int bits(struct __sk_buff *skb)
{
	u64 some[3] = { 1ull << 63, 0, 3 };
	int error;

	IS(sum_of(words, 1, &error), 6);
	IS(error, 0);
	IS(sum_of(some, 3, &error), 64 * 9 + 129 * 3 + 130);
	IS(error, 0);
	IS(sum_of(some, 1, &error), 64);
	IS(sum_of(some + 1, 1, &error), 0);
	IS(error, 0);
	words[510] = 1ull << 63;
	IS(sum_of(words, 511, &error), (1 * 3 + 3) * 3 + 511 * 64);
	IS(error, 0);
	words[510] = 0;
	IS(sum_of(words, 512, &error), 0);
	IS(error, -E2BIG);
	IS(sum_of(words, 0x20000001, &error), 0);
	IS(error, -E2BIG);
	IS(sum_of(words, 0, &error), 0);
	IS(error, -EINVAL);
	IS(sum_of(0, 1, &error), 0);
	IS(error, -EINVAL);
	IS(sum_of((void *)UNMAPPED, 1, &error), 0);
	IS(error, -EFAULT);
	IS(sum_of((void *)NOWHERE, 1, &error), 0);
	IS(error, -EFAULT);
	IS(sum_of((void *)UNMAPPED, 2, &error), 0);
	IS(error, -EFAULT);
	IS(sum_of((void *)NOWHERE, 2, &error), 0);
	IS(error, -ERANGE);
	return 0;
}
