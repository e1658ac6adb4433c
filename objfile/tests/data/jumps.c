/* A switch that cpu v4 compiles to jump tables, in a program and in a subprogram. */
#include "bpf.h"

#define CASES(x)                                                                                  \
	switch (x) {                                                                              \
	case 0: return 11; case 1: return 97; case 2: return 3; case 3: return v[1];              \
	case 4: return v[2] * 3; case 5: return v[3] + v[9]; case 6: return 8 - v[4];             \
	case 7: return v[5] ^ 5; case 8: return v[6] << 3; case 9: return v[1] / 3;               \
	case 10: return v[7] * v[8]; case 11: return 55; case 12: return v[11] | 64;              \
	case 13: return v[12] - 1; case 14: return v[13] & 15; case 15: return v[14] % 11;        \
	}                                                                                         \
	return 9

static __noinline int sub(int *v, int x)
{
	CASES(x);
}

SEC("syscall") int program(int *v)
{
	if (v[40])
		return sub(v, v[20]);
	CASES(v[0]);
}

char _license[] SEC("license") = "GPL";
