# Atomics in an arena where Linux on x86-64 refuses them or leaves registers as they were: beside the pages, and not aligned.
# run words=0x1122334455667788 = 0x1f
.map a kind=arena max_entries=2 flags=0x400
.license "GPL"
.section syscall
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r9 = 0
	r1 = map a ll
	r2 = 0
	r3 = 1
	r4 = -1
	r5 = 0
	kfunc bpf_arena_alloc_pages
	r8 = addr_space_cast(r0, 0, 1)
	*(u64 *)(r8 + 0) = 0xf0
	r1 = 0x3c
	r1 = atomic_fetch_or((u64 *)(r8 + 0), r1)
	if r1 != 0xf0 goto out
	r1 = 0x3f
	r1 = atomic_fetch_and((u64 *)(r8 + 0), r1)
	if r1 != 0xfc goto out
	r1 = -1
	w1 = atomic_fetch_xor((u32 *)(r8 + 0), w1)
	if r1 != 0x3c goto out
	r0 = *(u64 *)(r8 + 0)
	r1 = 0xffffffc3 ll
	if r0 != r1 goto out
	r9 |= 1
	# What is fetched where nothing is is 0, and of 32 bits where the proof says so.
	r1 = r6
	r1 = atomic_fetch_or((u64 *)(r8 + 0x1000), r1)
	if r1 != 0 goto out
	r1 = r6
	w1 = xchg32_32(r8 + 0x1000, w1)
	r1 >>= 32
	if r1 != 0 goto out
	r0 = r6
	r1 = 1
	r0 = cmpxchg_64(r8 + 0x1000, r0, r1)
	if r0 != 0 goto out
	r0 = r6
	w0 = load_acquire((u8 *)(r8 + 0x1000))
	if r0 != 0 goto out
	lock *(u64 *)(r8 + 0x1000) ^= r1
	r9 |= 2
	r1 = r6
	r1 = atomic_fetch_add((u64 *)(r8 + 4), r1)
	if r1 != 0 goto out
	r1 = r6
	w1 = xchg32_32(r8 + 2, w1)
	if r1 != 0 goto out
	r0 = *(u64 *)(r8 + 0)
	r1 = 0xffffffc3 ll
	if r0 != r1 goto out
	r9 |= 4
	r1 = 5
	store_release((u32 *)(r8 + 1), w1)
	r0 = load_acquire((u64 *)(r8 + 4))
	if r0 != 0 goto out
	w0 = load_acquire((u8 *)(r8 + 1))
	if r0 != 0xff goto out
	r9 |= 8
	r1 = map a ll
	r2 = addr_space_cast(r8, 1, 0)
	r3 = 1
	kfunc bpf_arena_free_pages
	r9 |= 16
out:
	r0 = r9
	exit
