# Loads with acquire and stores with release order, of every size, on a map value.
# run words=0x1122334455667788 = 0x11223344aabb6688
.map m kind=array key=4 value=8 max_entries=1
.section raw_tracepoint
.globl main
main:
	r6 = *(u64 *)(r1 + 0)
	*(u32 *)(r10 - 4) = 0
	r2 = r10
	r2 += -4
	r1 = map m ll
	call bpf_map_lookup_elem
	if r0 == 0 goto out
	r7 = r0
	store_release((u64 *)(r7 + 0), r6)
	w1 = 0xaabb
	store_release((u16 *)(r7 + 2), w1)
	w1 = load_acquire((u8 *)(r7 + 1))
	w1 += -0x11
	store_release((u8 *)(r7 + 1), w1)
	w2 = load_acquire((u32 *)(r7 + 4))
	store_release((u32 *)(r7 + 4), w2)
	r0 = load_acquire((u64 *)(r7 + 0))
	exit
out:
	r0 = 0
	exit
