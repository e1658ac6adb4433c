// Calls that no frame pointer tells of: through the library, through a signal, with frames of many sizes.
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline, noclone))

volatile int sink;

NOINLINE void leaf(int n) {
    __asm__ volatile("" ::"r"(n) : "memory");
    sink += n;
}

NOINLINE int compare(const void *a, const void *b) {
    leaf(1);
    int x = *(const int *)a, y = *(const int *)b;
    return x < y ? -1 : x > y;
}

NOINLINE void on_signal(int number) {
    leaf(number);
    sink++;
}

// A frame whose size only its frame pointer tells.
NOINLINE void of_any_size(int n) {
    char *room = __builtin_alloca(n);
    memset(room, n, n);
    leaf(room[n / 2]);
    sink += room[1];
}

NOINLINE void deep(int n) {
    if (n == 0)
        leaf(0);
    else
        deep(n - 1);
    sink++;
}

int main(int argc, char **argv) {
    int numbers[2] = {argc, argc - 1};
    qsort(numbers, 2, sizeof *numbers, compare);
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    of_any_size(argc * 100);
    deep(20);
    return 0;
}
