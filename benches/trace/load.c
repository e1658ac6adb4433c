// Makes one system call over and over and says what one takes: the least of many batches, in nanoseconds
// of this thread's own time. Interrupts and neighbours only ever add to a batch. Between batches it pauses,
// so that whoever reads records has read them all.
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv) {
    int batches = argc > 1 ? atoi(argv[1]) : 400, calls = argc > 2 ? atoi(argv[2]) : 1000;
    struct timespec pause = {.tv_nsec = (argc > 3 ? atoi(argv[3]) : 8) * 1000000L};
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &one);
    sched_setaffinity(0, sizeof one, &one);
    double least = 1e18;
    for (int b = 0; b < batches; b++) {
        double start = now();
        for (int i = 0; i < calls; i++)
            syscall(SYS_getppid);
        double each = (now() - start) / calls;
        if (each < least)
            least = each;
        if (pause.tv_nsec)
            nanosleep(&pause, NULL);
    }
    printf("%.2f\n", least);
    return 0;
}
