# An arena: pages that are there and that are not, accesses across their ends, atomics, casts, pages freed and taken again.
# run words=0x1122334455667788 = 0x3ffffff
# run words=1 = 0x3ffffff
.map a kind=arena max_entries=16 flags=0x400
.license "GPL"
.section syscall
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	r9 = 0
	# Two pages; nobody has any yet, so they are the first.
	r1 = map a ll
	r2 = 0
	r3 = 2
	r4 = -1
	r5 = 0
	kfunc bpf_arena_alloc_pages
	r7 = r0
	if r7 == 0 goto out
	r9 |= 1
	r8 = addr_space_cast(r7, 0, 1)
	*(u64 *)(r8 + 0) = r6
	r0 = *(u64 *)(r8 + 0)
	if r0 != r6 goto out
	r9 |= 2
	# Across the end of the first page.
	r8 += 4092
	*(u64 *)(r8 + 0) = r6
	r0 = *(u64 *)(r8 + 0)
	if r0 != r6 goto out
	r1 = *(u32 *)(r8 + 4)
	r0 = r6
	r0 >>= 32
	if r0 != r1 goto out
	r9 |= 4
	# Across the end of the second, behind which there is nothing.
	r8 += 4096
	*(u32 *)(r8 + 0) = 7
	*(u64 *)(r8 + 0) = r6
	r0 = *(u64 *)(r8 + 0)
	if r0 != 0 goto out
	r0 = *(u32 *)(r8 + 0)
	if r0 != 7 goto out
	r9 |= 8
	*(u16 *)(r8 + 3) = 0x0101
	r0 = *(u16 *)(r8 + 3)
	if r0 != 0 goto out
	r0 = *(u8 *)(r8 + 3)
	if r0 != 0 goto out
	r9 |= 0x10
	# Behind, before, and far from all pages.
	*(u64 *)(r8 + 4) = r6
	r0 = *(u64 *)(r8 + 4)
	if r0 != 0 goto out
	r8 -= 8188
	*(u8 *)(r8 - 1) = 5
	r0 = *(u8 *)(r8 - 1)
	if r0 != 0 goto out
	r0 = *(u64 *)(r8 - 4)
	if r0 != 0 goto out
	r9 |= 0x20
	r8 += 0x7fff0000
	*(u64 *)(r8 - 0x8000) = r6
	r0 = *(u64 *)(r8 - 0x8000)
	if r0 != 0 goto out
	r0 = *(u64 *)(r8 + 0x7fff)
	if r0 != 0 goto out
	r1 = 0
	r1 = addr_space_cast(r1, 0, 1)
	r0 = *(u64 *)(r1 - 0x8000)
	if r0 != 0 goto out
	*(u64 *)(r1 - 1) = r6
	r1 = -1
	r1 = addr_space_cast(r1, 0, 1)
	r0 = *(u64 *)(r1 + 0x7fff)
	if r0 != 0 goto out
	*(u8 *)(r1 + 0) = 1
	r0 = *(u8 *)(r1 + 0)
	if r0 != 0 goto out
	r9 |= 0x40
	# Signed loads.
	r8 = addr_space_cast(r7, 0, 1)
	*(u32 *)(r8 + 64) = -2
	r0 = *(s32 *)(r8 + 64)
	if r0 != -2 goto out
	r0 = *(s8 *)(r8 + 64)
	if r0 != -2 goto out
	r0 = *(u16 *)(r8 + 64)
	if r0 != 0xfffe goto out
	r0 = *(s16 *)(r8 + 32767)
	if r0 != 0 goto out
	r9 |= 0x80
	# Atomics where pages are.
	*(u64 *)(r8 + 8) = 5
	r1 = 7
	r1 = atomic_fetch_add((u64 *)(r8 + 8), r1)
	if r1 != 5 goto out
	lock *(u64 *)(r8 + 8) += r1
	r0 = *(u64 *)(r8 + 8)
	if r0 != 17 goto out
	r9 |= 0x100
	r1 = 3
	r0 = 17
	r0 = cmpxchg_64(r8 + 8, r0, r1)
	if r0 != 17 goto out
	r0 = *(u64 *)(r8 + 8)
	if r0 != 3 goto out
	r0 = 4
	r0 = cmpxchg_64(r8 + 8, r0, r1)
	if r0 != 3 goto out
	r9 |= 0x200
	r1 = -1
	w1 = xchg32_32(r8 + 8, w1)
	if r1 != 3 goto out
	r0 = *(u64 *)(r8 + 8)
	r1 = 0xffffffff ll
	if r0 != r1 goto out
	r9 |= 0x400
	# Where there are none nothing is done.
	r1 = r6
	lock *(u64 *)(r8 + 0x2000) += r1
	lock *(u32 *)(r8 + 0x2000) += w1
	r0 = *(u64 *)(r8 + 0x2000)
	if r0 != 0 goto out
	r9 |= 0x800
	# In order.
	r1 = 9
	store_release((u32 *)(r8 + 16), w1)
	w0 = load_acquire((u32 *)(r8 + 16))
	if r0 != 9 goto out
	store_release((u64 *)(r8 + 0x2000), r1)
	r9 |= 0x1000
	# What was stored beyond the pages is not there when a page comes to be.
	r1 = map a ll
	r2 = 0
	r3 = 1
	r4 = -1
	r5 = 0
	kfunc bpf_arena_alloc_pages
	r1 = r0
	r1 -= r7
	if r1 != 0x2000 goto out
	r0 = *(u64 *)(r8 + 0x2000)
	if r0 != 0 goto out
	r9 |= 0x2000
	# Casts: there and back; NULL stays NULL.
	r1 = addr_space_cast(r8, 1, 0)
	if r1 != r7 goto out
	r1 = 0
	r1 = addr_space_cast(r1, 1, 0)
	if r1 != 0 goto out
	r1 = 1
	r1 <<= 32
	r1 = addr_space_cast(r1, 1, 0)
	if r1 != 0 goto out
	r9 |= 0x4000
	# A pointer in the arena is followed.
	r1 = r7
	r1 += 128
	*(u64 *)(r8 + 24) = r1
	r1 = *(u64 *)(r8 + 24)
	r1 = addr_space_cast(r1, 0, 1)
	*(u64 *)(r1 + 0) = 77
	r0 = *(u64 *)(r8 + 128)
	if r0 != 77 goto out
	r9 |= 0x8000
	# No pages, too many, at an odd address, at pages that somebody has, beyond the end, with flags.
	r1 = map a ll
	r2 = 0
	r3 = 0
	r4 = -1
	r5 = 0
	kfunc bpf_arena_alloc_pages
	if r0 != 0 goto out
	r1 = map a ll
	r2 = 0
	r3 = 14
	r4 = -1
	r5 = 0
	kfunc bpf_arena_alloc_pages
	if r0 != 0 goto out
	r9 |= 0x10000
	r1 = map a ll
	r2 = r7
	r2 += 0x3001
	r3 = 1
	r4 = -1
	r5 = 0
	kfunc bpf_arena_alloc_pages
	if r0 != 0 goto out
	r1 = map a ll
	r2 = r7
	r2 += 0x2000
	r3 = 2
	r4 = -1
	r5 = 0
	kfunc bpf_arena_alloc_pages
	if r0 != 0 goto out
	r9 |= 0x20000
	r1 = map a ll
	r2 = r7
	r2 += 0xf000
	r3 = 2
	r4 = -1
	r5 = 0
	kfunc bpf_arena_alloc_pages
	if r0 != 0 goto out
	r1 = map a ll
	r2 = r7
	r2 += 0xf000
	r3 = 1
	r4 = -1
	r5 = 1
	kfunc bpf_arena_alloc_pages
	if r0 != 0 goto out
	r9 |= 0x40000
	# At an address, the last one.
	r1 = map a ll
	r2 = r7
	r2 += 0xf000
	r3 = 1
	r4 = -1
	r5 = 0
	kfunc bpf_arena_alloc_pages
	r1 = r0
	r1 -= r7
	if r1 != 0xf000 goto out
	r1 = addr_space_cast(r0, 0, 1)
	*(u64 *)(r1 + 4088) = r6
	r0 = *(u64 *)(r1 + 4088)
	if r0 != r6 goto out
	*(u64 *)(r1 + 4089) = r6
	r0 = *(u64 *)(r1 + 4089)
	if r0 != 0 goto out
	r9 |= 0x80000
	# What is reserved is not there, and nobody gets it.
	r1 = map a ll
	r2 = r7
	r2 += 0x3000
	r3 = 2
	kfunc bpf_arena_reserve_pages
	if r0 != 0 goto out
	*(u64 *)(r8 + 0x3000) = 1
	r0 = *(u64 *)(r8 + 0x3000)
	if r0 != 0 goto out
	r1 = map a ll
	r2 = r7
	r2 += 0x4000
	r3 = 1
	kfunc bpf_arena_reserve_pages
	r0 <<= 32
	r0 s>>= 32
	if r0 != -16 goto out
	r9 |= 0x100000
	r1 = map a ll
	r2 = r7
	r2 += 0x10000
	r3 = 1
	kfunc bpf_arena_reserve_pages
	r0 <<= 32
	r0 s>>= 32
	if r0 != -22 goto out
	r1 = map a ll
	r2 = 0
	r3 = 10
	r4 = -1
	r5 = 0
	kfunc bpf_arena_alloc_pages
	r1 = r0
	r1 -= r7
	if r1 != 0x5000 goto out
	r9 |= 0x200000
	# Freed pages are not there; taken again they are zeros.
	*(u64 *)(r8 + 4096) = r6
	r1 = map a ll
	r2 = r7
	r2 += 4096
	r3 = 1
	kfunc bpf_arena_free_pages
	r0 = *(u64 *)(r8 + 4096)
	if r0 != 0 goto out
	r9 |= 0x400000
	r1 = map a ll
	r2 = 0
	r3 = 1
	r4 = -1
	r5 = 0
	kfunc bpf_arena_alloc_pages
	r1 = r0
	r1 -= r7
	if r1 != 4096 goto out
	r0 = *(u64 *)(r8 + 4096)
	if r0 != 0 goto out
	r9 |= 0x800000
	# All of it is given back, more than there is; then all can be had.
	r1 = map a ll
	r2 = r7
	r3 = 100
	kfunc bpf_arena_free_pages
	r1 = map a ll
	r2 = 0
	r3 = 16
	r4 = -1
	r5 = 0
	kfunc bpf_arena_alloc_pages
	if r0 != r7 goto out
	r9 |= 0x1000000
	r1 = map a ll
	r2 = r7
	r3 = 16
	kfunc bpf_arena_free_pages
	r9 |= 0x2000000
out:
	r0 = r9
	exit
