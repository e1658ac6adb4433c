// Relocations of every kind against a running kernel; compiled by tests/core.rs.

#define PAI __attribute__((preserve_access_index))
#define SEC(name) __attribute__((section(name), used))

typedef unsigned int u32;
typedef unsigned long long u64;
typedef int pid_t;

struct task_struct {
	int pid;
	int tgid;
	char comm[16];
	struct task_struct *group_leader;
	unsigned sched_reset_on_fork : 1;
	unsigned in_execve : 1;
	unsigned long flags;
} PAI;
struct task_struct___gone { int no_such_thing; } PAI;
struct sock_common { unsigned short skc_family; } PAI;
struct sock { struct sock_common __sk_common; unsigned sk_kern_sock : 1; } PAI;
struct bpf_map___mine { u32 key_size; u32 max_entries; } PAI;
struct no_such_struct { int x; } PAI;
struct list_head { struct list_head *next, *prev; } PAI;
struct hlist_node { struct hlist_node *next; int **pprev; } PAI;
struct qspinlock {
	union {
		struct { int counter; } val;
		struct { unsigned char locked; unsigned char pending; };
	};
} PAI;
struct bpf_prog { unsigned short pages; struct { unsigned char code; } insnsi[0]; } PAI;
enum bpf_map_type___mine { BPF_MAP_TYPE_ARRAY = 99, BPF_MAP_TYPE_NOPE = 98 };
enum pid_type { PIDTYPE_PID, PIDTYPE_TGID = 17 };
enum bpf_cmd___more { BPF_MAP_CREATE, BPF_NO_SUCH_COMMAND };
typedef int (*initcall_t)(void);
typedef long (*sys_call_ptr_t)(const void *);

#define FIELD(value, kind) (r += __builtin_preserve_field_info(value, kind))
#define TYPE(type, kind) (r += __builtin_preserve_type_info(*(type *)ctx, kind))
#define TYPE_ID(type, kind) (r += __builtin_btf_type_id(*(type *)ctx, kind))
#define ENUMVAL(type, value, kind) \
	(r += __builtin_preserve_enum_value(*(enum type *)value, kind))

SEC("raw_tp/sys_enter") int probe(void *ctx)
{
	struct task_struct *t = ((struct task_struct **)ctx)[0];
	struct sock *s = ((struct sock **)ctx)[1];
	struct qspinlock *q = ((struct qspinlock **)ctx)[2];
	struct bpf_prog *p = ((struct bpf_prog **)ctx)[3];
	struct task_struct___gone *gone = (void *)t;
	u64 r = 0;

	r += t->tgid + t->pid + t->comm[3] + t->flags;
	r += (u64)&t->group_leader;
	r += (u64)&t[2].comm;
	r += (u64)&s->__sk_common.skc_family;
	r += q->pending;
	r += q->val.counter;
	r += p->insnsi[7].code;
	r += ((struct bpf_map___mine *)ctx)->max_entries;
	r += gone->no_such_thing;

	FIELD(t->tgid, 0), FIELD(t->tgid, 1), FIELD(t->tgid, 2), FIELD(t->tgid, 3);
	FIELD(t->tgid, 4), FIELD(t->tgid, 5);
	FIELD(t->comm, 1);
	FIELD(gone->no_such_thing, 2);
	FIELD(t->sched_reset_on_fork, 0), FIELD(t->sched_reset_on_fork, 1);
	FIELD(t->sched_reset_on_fork, 3), FIELD(t->sched_reset_on_fork, 4);
	FIELD(t->sched_reset_on_fork, 5);
	FIELD(t->in_execve, 4), FIELD(t->in_execve, 5);
	FIELD(s->sk_kern_sock, 0), FIELD(s->sk_kern_sock, 1), FIELD(s->sk_kern_sock, 4);
	FIELD(s->sk_kern_sock, 5);

	TYPE_ID(struct task_struct, 0), TYPE_ID(struct task_struct, 1);
	TYPE_ID(struct no_such_struct, 1);
	TYPE(struct task_struct, 0), TYPE(struct task_struct, 1), TYPE(struct task_struct, 2);
	TYPE(pid_t, 0), TYPE(pid_t, 1), TYPE(pid_t, 2);
	TYPE(struct no_such_struct, 0), TYPE(struct no_such_struct, 1), TYPE(struct no_such_struct, 2);
	TYPE(struct list_head, 2), TYPE(struct hlist_node, 2), TYPE(struct sock_common, 2);
	TYPE(enum pid_type, 0), TYPE(enum pid_type, 1), TYPE(enum pid_type, 2);
	TYPE(enum bpf_cmd___more, 0), TYPE(enum bpf_cmd___more, 2);
	TYPE(initcall_t, 0), TYPE(initcall_t, 2);
	TYPE(sys_call_ptr_t, 0), TYPE(sys_call_ptr_t, 2);

	ENUMVAL(bpf_map_type___mine, BPF_MAP_TYPE_ARRAY, 0);
	ENUMVAL(bpf_map_type___mine, BPF_MAP_TYPE_ARRAY, 1);
	ENUMVAL(bpf_map_type___mine, BPF_MAP_TYPE_NOPE, 0);
	ENUMVAL(bpf_map_type___mine, BPF_MAP_TYPE_NOPE, 1);
	ENUMVAL(pid_type, PIDTYPE_TGID, 1);
	return r;
}

char LICENSE[] SEC("license") = "GPL";
