// Layouts and declarators that a C printer gets wrong; compiled, printed, and compiled again by
// tests/c_header.rs.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef u64 __attribute__((aligned(4))) compat_u64;
typedef _Bool bool;

struct forward_only;
union forward_union;

struct packed_plain { u8 a; u32 b; u16 c; } __attribute__((packed));
struct packed_bits { u8 a : 3; u32 b : 30; u16 c : 9; u8 d; } __attribute__((packed));
struct packed_tail { u64 a; u8 b; } __attribute__((packed));
struct holds_packed { u8 a; struct packed_plain p; u32 b; struct packed_tail t[3]; };
struct compat { u32 a; compat_u64 b; u32 c; };
struct holds_compat { u8 x; struct compat c; u64 y; };
struct line_aligned { u32 a; u32 b __attribute__((aligned(64))); u8 c; } __attribute__((aligned(64)));
struct holds_aligned { u8 a; struct line_aligned l; u8 z; };
struct member_aligned { u8 a; u8 b __attribute__((aligned(4))); u8 c __attribute__((aligned(16))); };
struct tail_gap { u64 a; u8 b; u8 gap[0] __attribute__((aligned(32))); };
struct big_gap { u8 a; u8 b __attribute__((aligned(8192))); };
struct big_gap_after_bits { u32 a : 3; u8 b __attribute__((aligned(8192))); };
struct bits {
	u32 a : 1, b : 31;
	u32 c : 5;
	u64 d : 40;
	u8 e : 2;
	u8 : 0;
	u8 f : 7, g : 7;
	bool h : 1;
	int i : 3;
	u16 : 4;
	u16 j : 9;
	u32 : 0;
	u32 k : 2;
	u64 l;
	u64 m : 63;
	u64 n : 2;
};
struct bits_after_byte { u8 a; u32 b : 24; u8 c; u32 d : 20; u32 e : 20; };
struct bits_at_end { u64 a; u32 b : 1; };
enum small { SMALL_A, SMALL_B = 200 } __attribute__((packed));
enum wide { WIDE_A = 1, WIDE_B = 0x100000000ULL, WIDE_ALL = 0xffffffffffffffffULL };
enum negative { NEGATIVE = -5, POSITIVE = 5 };
enum widest_negative { LOWEST = -0x7fffffffffffffffLL - 1, HIGHEST = 0x7fffffffffffffffLL };
enum top_bit { TOP_BIT = 0x80000000u };
struct enums {
	enum small s; enum wide w; enum negative n; enum widest_negative wn; enum top_bit t;
	enum { INLINE_A = 7, INLINE_B } inlined;
	enum negative bits : 4;
	enum { PTR_A } *to_anonymous;
};
union padded { u8 a[5]; u32 b; };
union padded_packed { u8 a[5]; u32 b; } __attribute__((packed));
union aligned_union { u8 a; } __attribute__((aligned(16)));
struct holds_unions { u8 x; union padded p; union padded_packed q; union aligned_union r; };
struct anonymous {
	int before;
	union {
		struct { u16 low, high; };
		u32 whole;
		struct { u8 bytes[4]; } named;
		union { float f; u8 first; };
	};
	struct { u64 a; struct { u64 b; }; } *pointer;
	struct { int x; } array[2][3];
	int after;
};
struct empty {};
struct holds_empty { struct empty e; u32 a; struct empty f[3]; u8 b; struct empty g; };
struct flexible { u32 n; struct { struct empty none; u64 data[]; }; };
struct flexible_plain { u32 n; u16 data[]; };
struct zero_in_middle { u32 a; u64 zero[0]; u32 b; };
struct int128 { u8 a; __int128 b; unsigned __int128 c; double d; };
struct node { struct node *next, **prev; const struct node *const *volatile deep; };
typedef struct { int counter; } atomic_t;
typedef struct typedefed typedefed;
struct typedefed { typedefed *self; atomic_t count; };
struct same_name { int a; };
typedef u64 same_name;
struct uses_same_name { struct same_name a; same_name b; };
typedef int function_t(const char *, ...);
typedef function_t *function_ptr_t;
typedef void (*handler_t)(int);
struct functions {
	int (*plain)(void);
	int (*variadic)(const char *format, ...);
	handler_t (*returns_typedef)(int, handler_t);
	void (*(*returns_pointer)(int signal, void (*handler)(int)))(int);
	int (*array[4])(struct forward_only *, union forward_union *);
	int (*(*pointer_to_array)[5])(void);
	function_t *typed;
	function_ptr_t typed_pointer;
	const char *const names[2];
	int (*matrix)[3][4];
	void *(*const volatile qualified)(const void *restrict, enum small);
	struct { int inside; } *(*anonymous)(struct node (*)[2]);
};
struct qualified { const volatile u32 a; const u8 b[4]; volatile struct node *restrict_me; };

#define HOLD(kind, name) kind name held_##name
HOLD(struct, packed_plain); HOLD(struct, packed_bits); HOLD(struct, packed_tail);
HOLD(struct, holds_packed); HOLD(struct, compat); HOLD(struct, holds_compat);
HOLD(struct, line_aligned); HOLD(struct, holds_aligned); HOLD(struct, member_aligned);
HOLD(struct, tail_gap); HOLD(struct, big_gap); HOLD(struct, big_gap_after_bits); HOLD(struct, bits);
HOLD(struct, bits_after_byte); HOLD(struct, bits_at_end); HOLD(struct, enums);
HOLD(union, padded); HOLD(union, padded_packed); HOLD(union, aligned_union);
HOLD(struct, holds_unions); HOLD(struct, anonymous); HOLD(struct, holds_empty);
HOLD(struct, flexible); HOLD(struct, flexible_plain); HOLD(struct, zero_in_middle);
HOLD(struct, int128); HOLD(struct, node); HOLD(struct, typedefed);
HOLD(struct, uses_same_name); HOLD(struct, functions); HOLD(struct, qualified);
