/* Data of every kind, configuration and kernel symbols. */
#include "bpf.h"

const volatile int limit = 42;
static const volatile u64 secret = 0x1122334455667788;
int counter = 5;
__hidden int veiled SEC(".bss.veiled");
static int hidden_counter = 6;
u64 zeroed;
static u32 zeroed_too[100];
int custom SEC(".data.custom") = 77;

extern int LINUX_KERNEL_VERSION __kconfig;
extern _Bool CONFIG_BPF __kconfig __weak;
extern char CONFIG_DEFAULT_HOSTNAME[16] __kconfig __weak;
extern u64 CONFIG_NOT_THERE __kconfig __weak;
extern const void bpf_prog_array_free __ksym __weak;
extern const int cpu_number __ksym __weak;
extern int no_such_kfunc(int a) __ksym __weak;

SEC("raw_tp/sys_enter") int program(void *ctx)
{
	static const char fmt[] = "sum %d";
	volatile int *h = &hidden_counter;
	int sum = limit + counter + (int)secret + (int)zeroed + custom;

	*h += veiled;
	zeroed_too[sum & 63]++;
	if (CONFIG_BPF)
		sum += LINUX_KERNEL_VERSION;
	sum += CONFIG_DEFAULT_HOSTNAME[sum & 15] + CONFIG_NOT_THERE;
	if (&bpf_prog_array_free)
		sum++;
	if (&cpu_number)
		sum++;
	if (no_such_kfunc)
		sum += no_such_kfunc(sum);
	bpf_trace_printk(fmt, sizeof(fmt), sum);
	bpf_trace_printk("a literal", 10);
	zeroed += sum;
	return 0;
}

char _license[] SEC("license") = "GPL";
int _version SEC("version") = 0x060c00;
