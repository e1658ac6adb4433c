// A known load: everything that its name says happens exactly N times, so that probes can be held to it.
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// A static probe as SystemTap's sys/sdt.h lays it down, with a counter of those who trace it.
__attribute__((used, section(".probes"))) volatile unsigned short load_site_semaphore;

#define NOINLINE __attribute__((noinline, noclone))

// Not zero at first: what the kernel clears it writes.
volatile long watched = 1;

NOINLINE long work_first(long a, long b) {
    __asm__ volatile("" ::: "memory");
    return a + b;
}

NOINLINE long work_second(long a) {
    __asm__ volatile("" ::: "memory");
    return a * 2;
}

NOINLINE void site(long value) {
    if (!load_site_semaphore)
        return;
    __asm__ volatile("990: nop\n"
                     ".pushsection .note.stapsdt,\"\",\"note\"\n"
                     ".balign 4\n"
                     ".4byte 992f-991f, 994f-993f, 3\n"
                     "991: .asciz \"stapsdt\"\n"
                     "992: .balign 4\n"
                     "993: .8byte 990b\n"
                     ".8byte _.stapsdt.base\n"
                     ".8byte load_site_semaphore\n"
                     ".asciz \"load\"\n"
                     ".asciz \"site\"\n"
                     ".asciz \"8@%0\"\n"
                     "994: .balign 4\n"
                     ".popsection\n"
                     ".ifndef _.stapsdt.base\n"
                     ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"
                     ".weak _.stapsdt.base\n"
                     "_.stapsdt.base: .space 1\n"
                     ".size _.stapsdt.base,1\n"
                     ".popsection\n"
                     ".endif\n" ::"r"(value));
}

// The number of 64 bits that a pinned map with keys of 32 bits holds: asked of the kernel by nobody but this program.
static int read_map(const char *path, unsigned key) {
    union bpf_attr attr = {.pathname = (unsigned long)path};
    long long value = 0;
    int map = syscall(SYS_bpf, BPF_OBJ_GET, &attr, sizeof attr);

    memset(&attr, 0, sizeof attr);
    attr.map_fd = map;
    attr.key = (unsigned long)&key;
    attr.value = (unsigned long)&value;
    if (map < 0 || syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &attr, sizeof attr)) {
        perror(path);
        return 1;
    }
    printf("%lld\n", value);
    return 0;
}

// Sends over a socket of this machine's own that has a congestion control by its name.
static int send_with(const char *control) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof at;
    int listening = socket(AF_INET, SOCK_STREAM, 0), from = socket(AF_INET, SOCK_STREAM, 0);
    char bytes[1 << 14] = {0};

    if (setsockopt(from, IPPROTO_TCP, TCP_CONGESTION, control, strlen(control)) ||
        bind(listening, (struct sockaddr *)&at, size) || listen(listening, 1) ||
        getsockname(listening, (struct sockaddr *)&at, &size) || connect(from, (struct sockaddr *)&at, size)) {
        perror(control);
        return 1;
    }
    int to = accept(listening, NULL, NULL);
    for (int i = 0; i < 64; i++) {
        long left = sizeof bytes;
        if (write(from, bytes, sizeof bytes) != sizeof bytes)
            return 1;
        while (left > 0) {
            long got = read(to, bytes, left);
            if (got <= 0)
                return 1;
            left -= got;
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "address")) {
        printf("0x%lx\n", (long)&watched);
        return 0;
    }
    if (argc > 3 && !strcmp(argv[1], "read"))
        return read_map(argv[2], atoi(argv[3]));
    if (argc > 2 && !strcmp(argv[1], "congestion"))
        return send_with(argv[2]);
    long n = argc > 1 ? atol(argv[1]) : 100;
    char *pages = mmap(NULL, n * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long i = 0; i < n; i++) {
        work_first(i, 1);
        work_second(i);
        site(i);
        watched = i;
        pages[i * 4096] = 1;
        syscall(SYS_getppid);
        syscall(SYS_getpgid, 0);
        syscall(SYS_getsid, 0);
    }
    return 0;
}
