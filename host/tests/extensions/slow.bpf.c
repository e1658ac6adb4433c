/* Calls a function that takes its time.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <probity/bpf.h>

extern s64 hold(void) __attribute__((section(".ksyms")));

struct request;

SEC("hook/request")
int slow(struct request *ctx)
{
	hold();
	return 1;
}

LICENSE("proprietary");
