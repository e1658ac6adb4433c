// Loads one program of reference.bpf.o with libbpf, and prints its records until it is ended.
#include <bpf/libbpf.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static volatile sig_atomic_t over;

static void end(int signal) {
    over = 1;
}

struct record {
    unsigned pid, unused;
    unsigned long long time;
    char comm[16];
};

static int print(void *to, void *data, size_t size) {
    struct record *r = data;
    printf("%u %s %llu\n", r->pid, r->comm, r->time);
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    struct bpf_object *object = bpf_object__open_file(argv[1], NULL);
    struct bpf_program *p, *wanted = NULL;
    if (!object)
        return 1;
    bpf_object__for_each_program(p, object) {
        int mine = !strcmp(bpf_program__name(p), argv[2]);
        bpf_program__set_autoload(p, mine);
        if (mine)
            wanted = p;
    }
    if (!wanted || bpf_object__load(object) || !bpf_program__attach(wanted))
        return 1;
    struct ring_buffer *ring =
        ring_buffer__new(bpf_object__find_map_fd_by_name(object, "records"), print, NULL, NULL);
    signal(SIGINT, end);
    signal(SIGTERM, end);
    fprintf(stderr, "Attached\n");
    struct timespec pause = {.tv_nsec = 2000000};
    while (!over) {
        ring_buffer__consume(ring);
        nanosleep(&pause, NULL);
    }
    return 0;
}
