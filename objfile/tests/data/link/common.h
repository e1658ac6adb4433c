/* What both objects say alike. */
#define SEC(name) __attribute__((section(name), used))
#define __weak __attribute__((weak))
#define __noinline __attribute__((noinline))
#define __uint(name, val) int (*name)[val]
#define __type(name, val) typeof(val) *name

struct node {
	long count;
	struct node *next;
	struct list *in;
};

struct list {
	struct node *first;
	int length;
};

static void *(*lookup)(void *map, const void *key) = (void *)1;
