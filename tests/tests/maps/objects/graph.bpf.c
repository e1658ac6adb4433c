// Structures that a program allocates, in lists, trees and map values: the packet says what to do with them.
// Built by: cargo xtask programs --write
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define __kptr __attribute__((btf_type_tag("kptr")))
#define __percpu_kptr __attribute__((btf_type_tag("percpu_kptr")))
#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))
#define __ksym __attribute__((section(".ksyms")))
#define noinline __attribute__((noinline))
#define container_of(ptr, type, member) ((type *)((void *)(ptr) - __builtin_offsetof(type, member)))

struct bpf_spin_lock {
	u32 val;
};
struct bpf_list_head {
	u64 __opaque[2];
} __attribute__((aligned(8)));
struct bpf_list_node {
	u64 __opaque[3];
} __attribute__((aligned(8)));
struct bpf_rb_root {
	u64 __opaque[2];
} __attribute__((aligned(8)));
struct bpf_rb_node {
	u64 __opaque[4];
} __attribute__((aligned(8)));
struct bpf_refcount {
	u32 __opaque[1];
} __attribute__((aligned(4)));

static void *(*const lookup)(void *map, const void *key) = (void *)1;
static long (*const update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const delete)(void *map, const void *key) = (void *)3;
static long (*const spin_lock)(struct bpf_spin_lock *lock) = (void *)93;
static long (*const spin_unlock)(struct bpf_spin_lock *lock) = (void *)94;
static void *(*const per_cpu_ptr)(const void *percpu, u32 cpu) = (void *)153;
static void *(*const this_cpu_ptr)(const void *percpu) = (void *)154;
static void *(*const kptr_xchg)(void *field, void *to) = (void *)194;

extern void *bpf_obj_new_impl(u64 local_type_id, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *p, void *meta) __ksym;
extern void *bpf_percpu_obj_new_impl(u64 local_type_id, void *meta) __ksym;
extern void bpf_percpu_obj_drop_impl(void *p, void *meta) __ksym;
extern void *bpf_refcount_acquire_impl(void *p, void *meta) __ksym;
extern int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta,
				    u64 off) __ksym;
extern int bpf_list_push_back_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta,
				   u64 off) __ksym;
extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_pop_back(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_front(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_back(struct bpf_list_head *head) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
			       _Bool(less)(struct bpf_rb_node *a, const struct bpf_rb_node *b),
			       void *meta, u64 off) __ksym;
extern struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) __ksym;
extern struct bpf_rb_node *bpf_rbtree_root(struct bpf_rb_root *root) __ksym;
extern struct bpf_rb_node *bpf_rbtree_left(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
extern struct bpf_rb_node *bpf_rbtree_right(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

#define new(type) ((type *)bpf_obj_new_impl(__builtin_btf_type_id(*(type *)0, 0), 0))
#define percpu_new(type) ((type *)bpf_percpu_obj_new_impl(__builtin_btf_type_id(*(type *)0, 0), 0))
#define drop(p) bpf_obj_drop_impl(p, 0)

char _license[] SEC("license") = "Dual MIT/GPL";

struct leaf {
	u64 a;
	u64 b;
};

// In a list, in a tree, or in both.
struct item {
	u64 key;
	struct bpf_list_node list;
	struct bpf_rb_node tree;
	struct bpf_refcount count;
	struct leaf __kptr *leaf;
};

// In the list of a map value; it has a list of its own.
struct branch {
	u64 key;
	struct bpf_list_node node;
	struct bpf_spin_lock lock;
	struct bpf_list_head leaves __contains(twig, node);
};

struct twig {
	u32 key;
	struct bpf_list_node node;
};

struct cell {
	u64 n;
};

struct slot {
	u64 plain;
	struct bpf_spin_lock lock;
	struct bpf_list_head branches __contains(branch, node);
	struct leaf __kptr *leaf;
	struct item __kptr *item;
	struct cell __percpu_kptr *cell;
};

struct {
	__uint(type, 1);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, struct slot);
} slots SEC(".maps");

struct {
	__uint(type, 2);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, struct slot);
} array SEC(".maps");

struct held {
	struct leaf __kptr *leaf;
};

struct {
	__uint(type, 9);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, struct held);
} recent SEC(".maps");

struct {
	__uint(type, 5);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, struct held);
} apart SEC(".maps");

SEC(".data.graph") struct bpf_spin_lock lock;
SEC(".data.graph") struct bpf_list_head head __contains(item, list);
SEC(".data.graph") struct bpf_rb_root root __contains(item, tree);

static _Bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct item, tree)->key < container_of(b, struct item, tree)->key;
}

static struct item *make(u64 key)
{
	struct item *n = new(struct item);

	if (n)
		n->key = key;
	return n;
}

static long finish(struct item *n)
{
	long key = n->key;

	drop(n);
	return key;
}

static noinline long push(u64 key, u32 back)
{
	struct item *n = make(key);
	long done;

	if (!n)
		return -1;
	spin_lock(&lock);
	if (back)
		done = bpf_list_push_back_impl(&head, &n->list, 0, 0);
	else
		done = bpf_list_push_front_impl(&head, &n->list, 0, 0);
	spin_unlock(&lock);
	return done;
}

static noinline long pop(u32 back)
{
	struct bpf_list_node *n;

	spin_lock(&lock);
	if (back)
		n = bpf_list_pop_back(&head);
	else
		n = bpf_list_pop_front(&head);
	spin_unlock(&lock);
	return n ? finish(container_of(n, struct item, list)) : -1;
}

static noinline long ends(void)
{
	struct bpf_list_node *n;
	long first = -1, last = -1;

	spin_lock(&lock);
	n = bpf_list_front(&head);
	if (n)
		first = container_of(n, struct item, list)->key;
	n = bpf_list_back(&head);
	if (n)
		last = container_of(n, struct item, list)->key;
	spin_unlock(&lock);
	return first * 256 + last;
}

static noinline long add(u64 key)
{
	struct item *n = make(key);
	long done;

	if (!n)
		return -1;
	spin_lock(&lock);
	done = bpf_rbtree_add_impl(&root, &n->tree, less, 0, 0);
	spin_unlock(&lock);
	return done;
}

static noinline long take_first(void)
{
	struct bpf_rb_node *n;

	spin_lock(&lock);
	n = bpf_rbtree_first(&root);
	if (!n) {
		spin_unlock(&lock);
		return -1;
	}
	n = bpf_rbtree_remove(&root, n);
	spin_unlock(&lock);
	return n ? finish(container_of(n, struct item, tree)) : -2;
}

// The keys on the way down that the bits of `way` say.
static noinline long walk(u32 way)
{
	struct bpf_rb_node *n;
	u32 i, sum = 1;

	spin_lock(&lock);
	n = bpf_rbtree_root(&root);
	for (i = 0; i < 8 && n; i++) {
		sum = sum * 31 + (u32)container_of(n, struct item, tree)->key;
		if (way >> i & 1)
			n = bpf_rbtree_right(&root, n);
		else
			n = bpf_rbtree_left(&root, n);
	}
	spin_unlock(&lock);
	return sum & 0x7fffffff;
}

// Takes the node at the end of such a way out.
static noinline long take(u32 way)
{
	struct bpf_rb_node *n, *below;
	u32 i;

	spin_lock(&lock);
	n = bpf_rbtree_root(&root);
	if (!n)
		goto none;
	for (i = 0; i < 6; i++) {
		if (way >> i & 1)
			below = bpf_rbtree_right(&root, n);
		else
			below = bpf_rbtree_left(&root, n);
		if (!below)
			break;
		n = below;
	}
	n = bpf_rbtree_remove(&root, n);
	spin_unlock(&lock);
	return n ? finish(container_of(n, struct item, tree)) : -2;
none:
	spin_unlock(&lock);
	return -1;
}

// One node in the list and in the tree; of a second owner who comes too late.
static noinline long both(u64 key, u32 twice)
{
	struct item *n = make(key), *m;
	long a, b;

	if (!n)
		return -1;
	m = bpf_refcount_acquire_impl(n, 0);
	spin_lock(&lock);
	a = bpf_list_push_back_impl(&head, &n->list, 0, 0);
	if (twice)
		b = bpf_list_push_front_impl(&head, &m->list, 0, 0);
	else
		b = bpf_rbtree_add_impl(&root, &m->tree, less, 0, 0);
	spin_unlock(&lock);
	return a * 1000 + b;
}

// The first of the list, if it is in the tree too, leaves that.
static noinline long leave(void)
{
	struct bpf_list_node *l;
	struct bpf_rb_node *n;
	struct item *i;

	spin_lock(&lock);
	l = bpf_list_front(&head);
	if (!l) {
		spin_unlock(&lock);
		return -1;
	}
	i = container_of(l, struct item, list);
	n = bpf_rbtree_remove(&root, &i->tree);
	spin_unlock(&lock);
	return n ? finish(container_of(n, struct item, tree)) : -2;
}

static struct slot *slot(u32 key)
{
	return key & 8 ? lookup(&array, &(u32){key & 1}) : lookup(&slots, &(u32){key & 7});
}

static noinline long set(u32 key)
{
	struct slot v = {.plain = key};

	return key & 8 ? update(&array, &(u32){key & 1}, &v, 0) : update(&slots, &(u32){key & 7}, &v, 0);
}

static noinline long forget(u32 key)
{
	return delete(&slots, &(u32){key & 7});
}

static noinline long stash_leaf(u32 key, u32 empty)
{
	struct slot *s = slot(key);
	struct leaf *l = 0;
	long a;

	if (!s)
		return -1;
	if (!empty) {
		l = new(struct leaf);
		if (!l)
			return -2;
		l->a = key;
		l->b = 0;
	}
	l = kptr_xchg(&s->leaf, l);
	if (!l)
		return -3;
	a = l->a;
	drop(l);
	return a;
}

static noinline long read_leaf(u32 key)
{
	struct slot *s = slot(key);
	struct leaf *l;
	long a = -2;

	if (!s)
		return -1;
	bpf_rcu_read_lock();
	l = s->leaf;
	if (l)
		a = l->a + l->b;
	bpf_rcu_read_unlock();
	return a;
}

static noinline long grow(u32 key, u32 twigs)
{
	struct slot *s = slot(key);
	struct branch *b;
	struct twig *t;
	u32 i;

	if (!s)
		return -1;
	b = new(struct branch);
	if (!b)
		return -2;
	b->key = key;
	for (i = 0; i < 3; i++) {
		if (i >= (twigs & 3))
			break;
		t = new(struct twig);
		if (!t)
			break;
		t->key = i;
		spin_lock(&b->lock);
		bpf_list_push_back_impl(&b->leaves, &t->node, 0, 0);
		spin_unlock(&b->lock);
	}
	spin_lock(&s->lock);
	bpf_list_push_front_impl(&s->branches, &b->node, 0, 0);
	spin_unlock(&s->lock);
	return i;
}

static noinline long cut(u32 key)
{
	struct slot *s = slot(key);
	struct bpf_list_node *n;
	struct branch *b;
	long last = -3;

	if (!s)
		return -1;
	spin_lock(&s->lock);
	n = bpf_list_pop_back(&s->branches);
	spin_unlock(&s->lock);
	if (!n)
		return -2;
	b = container_of(n, struct branch, node);
	spin_lock(&b->lock);
	n = bpf_list_back(&b->leaves);
	if (n)
		last = container_of(n, struct twig, node)->key;
	spin_unlock(&b->lock);
	last = last * 256 + b->key;
	drop(b);
	return last;
}

// From the list into a value, with a leaf of its own, and what the value had into the tree.
static noinline long stash_item(u32 key)
{
	struct slot *s = slot(key);
	struct bpf_list_node *n;
	struct item *i;
	struct leaf *l;
	long done;

	if (!s)
		return -1;
	spin_lock(&lock);
	n = bpf_list_pop_front(&head);
	spin_unlock(&lock);
	if (!n)
		return -2;
	i = container_of(n, struct item, list);
	l = new(struct leaf);
	if (l) {
		l = kptr_xchg(&i->leaf, l);
		if (l)
			drop(l);
	}
	i = kptr_xchg(&s->item, i);
	if (!i)
		return -3;
	spin_lock(&lock);
	done = bpf_rbtree_add_impl(&root, &i->tree, less, 0, 0);
	spin_unlock(&lock);
	return done;
}

// One more owner of what a value has.
static noinline long share(u32 key)
{
	struct slot *s = slot(key);
	struct item *i, *mine = 0;

	if (!s)
		return -1;
	bpf_rcu_read_lock();
	i = s->item;
	if (i)
		mine = bpf_refcount_acquire_impl(i, 0);
	bpf_rcu_read_unlock();
	return mine ? finish(mine) : -2;
}

static noinline long cell(u32 key)
{
	struct slot *s = slot(key);
	struct cell *c, *mine;
	long n = -2;

	if (!s)
		return -1;
	bpf_rcu_read_lock();
	c = s->cell;
	if (c) {
		mine = this_cpu_ptr(c);
		mine->n += 5;
		n = mine->n;
		mine = per_cpu_ptr(c, 0);
		n = n * 16 + !!mine;
		mine = per_cpu_ptr(c, 1 << 20);
		n = n * 16 + !!mine;
	}
	bpf_rcu_read_unlock();
	if (c)
		return n;
	c = percpu_new(struct cell);
	if (!c)
		return -3;
	c = kptr_xchg(&s->cell, c);
	if (c)
		bpf_percpu_obj_drop_impl(c, 0);
	// In Linux it holds what was there before.
	bpf_rcu_read_lock();
	c = s->cell;
	if (c) {
		mine = this_cpu_ptr(c);
		mine->n = key;
	}
	bpf_rcu_read_unlock();
	return n;
}

static noinline long hold(u32 key, u32 each)
{
	struct held v = {}, *h;
	struct leaf *l;
	long done = 0;

	h = each ? lookup(&apart, &key) : lookup(&recent, &key);
	if (!h) {
		done = each ? update(&apart, &key, &v, 0) : update(&recent, &key, &v, 0);
		h = each ? lookup(&apart, &key) : lookup(&recent, &key);
	}
	if (!h)
		return -1;
	l = new(struct leaf);
	if (!l)
		return -2;
	l->a = key;
	l = kptr_xchg(&h->leaf, l);
	if (!l)
		return done - 3;
	done = l->a;
	drop(l);
	return done;
}

static noinline long release(u32 key, u32 each)
{
	return each ? delete(&apart, &key) : delete(&recent, &key);
}

struct __sk_buff {
	u32 before[19], data, data_end;
};

SEC("tc")
int step(struct __sk_buff *skb)
{
	u8 *data = (void *)(u64)skb->data;
	u32 arg;

	if (data + 16 > (u8 *)(u64)skb->data_end)
		return -99;
	arg = data[15];
	switch (data[14]) {
	case 0:
		return push(arg, 0);
	case 1:
		return push(arg, 1);
	case 2:
		return pop(0);
	case 3:
		return pop(1);
	case 4:
		return ends();
	case 5:
		return add(arg);
	case 6:
		return take_first();
	case 7:
		return walk(arg);
	case 8:
		return take(arg);
	case 9:
		return both(arg, 0);
	case 10:
		return both(arg, 1);
	case 11:
		return leave();
	case 12:
		return set(arg);
	case 13:
		return forget(arg);
	case 14:
		return stash_leaf(arg, arg >> 4 & 1);
	case 15:
		return read_leaf(arg);
	case 16:
		return grow(arg, arg >> 4);
	case 17:
		return cut(arg);
	case 18:
		return stash_item(arg);
	case 19:
		return share(arg);
	case 20:
		return cell(arg);
	case 21:
		return hold(arg & 7, arg >> 4 & 1);
	case 22:
		return release(arg & 7, arg >> 4 & 1);
	}
	return -98;
}
