// What a person would write by hand for the four scripts of the comparison.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} calls SEC(".maps");

struct comm {
    char text[16];
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, 4096);
    __type(key, struct comm);
    __type(value, __u64);
} by_comm SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 65);
    __type(key, __u32);
    __type(value, __u64);
} buckets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 64 * 4096);
} records SEC(".maps");

struct record {
    __u32 pid;
    __u32 unused;
    __u64 time;
    char comm[16];
};

__u64 lost;

SEC("tracepoint/syscalls/sys_enter_getppid")
int count(void *ctx) {
    __u32 key = 0;
    __u64 *n = bpf_map_lookup_elem(&calls, &key);
    if (n)
        ++*n;
    return 1;
}

SEC("tracepoint/syscalls/sys_enter_getppid")
int comm(void *ctx) {
    struct comm key = {};
    bpf_get_current_comm(&key, sizeof key);
    __u64 *n = bpf_map_lookup_elem(&by_comm, &key), one = 1;
    if (n)
        ++*n;
    else
        bpf_map_update_elem(&by_comm, &key, &one, BPF_NOEXIST);
    return 1;
}

static __always_inline __u32 log2_of(__u64 v) {
    __u32 r = 0;
    if (v >> 32) r += 32, v >>= 32;
    if (v >> 16) r += 16, v >>= 16;
    if (v >> 8) r += 8, v >>= 8;
    if (v >> 4) r += 4, v >>= 4;
    if (v >> 2) r += 2, v >>= 2;
    if (v >> 1) r += 1;
    return r;
}

SEC("tracepoint/syscalls/sys_enter_getppid")
int hist(void *ctx) {
    __u64 time = bpf_ktime_get_boot_ns();
    __u32 key = time ? log2_of(time) + 1 : 0;
    __u64 *n = bpf_map_lookup_elem(&buckets, &key);
    if (n)
        ++*n;
    return 1;
}

SEC("tracepoint/syscalls/sys_enter_getppid")
int print(void *ctx) {
    struct record *r = bpf_ringbuf_reserve(&records, sizeof *r, 0);
    if (!r) {
        __sync_fetch_and_add(&lost, 1);
        return 1;
    }
    r->pid = bpf_get_current_pid_tgid() >> 32;
    r->time = bpf_ktime_get_boot_ns();
    bpf_get_current_comm(r->comm, sizeof r->comm);
    // The reader looks by itself every few milliseconds.
    bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
    return 1;
}

char _license[] SEC("license") = "GPL";
