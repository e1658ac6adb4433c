// Runs one program that was compiled for 64-bit Arm: `host CODE`, see suite.rs for the file.
//
// Memory is written while it is writable and executable afterwards. Helpers here do what
// the cases need of them, for arrays only.

#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HEADER = 64, HEADROOM = 256, MAX_MAPS = 64 };

// As `probity_runtime::Call` begins.
struct call {
	uint64_t cpu, ctx;
};

struct map {
	uint8_t *values;
	uint32_t value_size, stride, entries, cpu_stride;
};

static struct map maps[MAX_MAPS];
static uint8_t *packet;
static uint32_t packet_len;

typedef uint64_t helper(struct call *, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

static uint64_t map_lookup_elem(struct call *call, uint64_t m, uint64_t key, uint64_t c, uint64_t d, uint64_t e)
{
	struct map *map = (struct map *)m;
	uint32_t n;
	memcpy(&n, (void *)key, 4);
	if (n >= map->entries)
		return 0;
	return (uint64_t)(map->values + call->cpu * map->cpu_stride + (uint64_t)n * map->stride);
}

static uint64_t map_update_elem(struct call *call, uint64_t m, uint64_t key, uint64_t value, uint64_t flags, uint64_t e)
{
	struct map *map = (struct map *)m;
	uint64_t at = map_lookup_elem(call, m, key, 0, 0, 0);
	if (!at)
		return -7;
	memcpy((void *)at, (void *)value, map->value_size);
	return 0;
}

static uint64_t get_smp_processor_id(struct call *call, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
	return call->cpu;
}

static uint64_t loop(struct call *call, uint64_t laps, uint64_t f, uint64_t ctx, uint64_t flags, uint64_t e)
{
	uint64_t n;
	if (flags)
		return -22;
	if (laps > 8 << 20)
		return -7;
	for (n = 0; n < laps; n++)
		if (((helper *)f)(call, n, ctx, 0, 0, 0))
			return n + 1;
	return n;
}

// Offset and size; in host order, -1 outside.
static uint64_t packet_load(struct call *call, uint64_t offset, uint64_t bytes, uint64_t c, uint64_t d, uint64_t e)
{
	uint32_t at = offset;
	uint64_t v = 0;
	if ((int32_t)at < 0 || (uint64_t)at + bytes > packet_len)
		return -1;
	for (uint64_t n = 0; n < bytes; n++)
		v = v << 8 | packet[at + n];
	return v;
}

static uint64_t missing(struct call *call, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
	fprintf(stderr, "a function that this host does not have\n");
	exit(3);
}

static FILE *file;

static uint64_t number(int bytes)
{
	uint64_t v = 0;
	if (fread(&v, 1, bytes, file) != (size_t)bytes) {
		fprintf(stderr, "the file is too short\n");
		exit(2);
	}
	return v;
}

static uint8_t *block(uint32_t len, uint32_t before, uint32_t after)
{
	uint8_t *p = calloc(1, (size_t)before + len + after + 1);
	if (!p || fread(p + before, 1, len, file) != len)
		exit(2);
	return p;
}

static uint64_t address(uint32_t kind, uint32_t index)
{
	switch (kind) {
	case 1:
		switch (index) {
		case 1: return (uint64_t)map_lookup_elem;
		case 2: return (uint64_t)map_update_elem;
		case 8: return (uint64_t)get_smp_processor_id;
		case 181: return (uint64_t)loop;
		default: return (uint64_t)missing;
		}
	case 3: return (uint64_t)packet_load;
	case 4: return index < MAX_MAPS ? (uint64_t)&maps[index] : 0;
	case 5: return index < MAX_MAPS ? (uint64_t)maps[index].values : 0;
	default: return (uint64_t)missing;
	}
}

int main(int argc, char **argv)
{
	file = argc == 2 ? fopen(argv[1], "rb") : NULL;
	if (!file)
		return 2;
	uint32_t count = number(4);
	for (uint32_t n = 0; n < count; n++) {
		uint32_t index = number(4), len;
		if (index >= MAX_MAPS)
			return 2;
		struct map *m = &maps[index];
		m->value_size = number(4);
		m->stride = number(4);
		m->entries = number(4);
		m->cpu_stride = number(4);
		len = number(4);
		m->values = block(len, 0, 0);
	}
	uint64_t cpu = number(4);
	uint32_t ctx_len = number(4);
	uint8_t *ctx = block(ctx_len, HEADER, 8) + HEADER;
	packet_len = number(4);
	uint8_t *buffer = block(packet_len, HEADROOM, 4096);
	packet = buffer + HEADROOM;
	// DATA, DATA_END, DATA_META, BUFFER, BUFFER_END below the context.
	uint64_t words[] = {
		(uint64_t)packet, (uint64_t)(packet + packet_len), (uint64_t)packet,
		(uint64_t)buffer, (uint64_t)(packet + packet_len + 4096),
	};
	for (int n = 0; n < 5; n++)
		memcpy(ctx - 8 * (n + 1), &words[n], 8);

	uint32_t entries = number(4), mains = number(4);
	uint32_t main_at[256];
	if (mains > 256)
		return 2;
	uint32_t target_at[256];
	for (uint32_t n = 0; n < mains; n++)
		main_at[n] = number(4);
	for (uint32_t n = 0; n < mains; n++)
		target_at[n] = number(4);
	uint32_t references = number(4);
	struct { uint32_t at, kind, index; uint64_t addend; } *r = calloc(references + 1, sizeof(*r));
	for (uint32_t n = 0; n < references; n++) {
		r[n].at = number(4);
		r[n].kind = number(4);
		r[n].index = number(4);
		r[n].addend = number(8);
	}
	uint32_t len = number(4);
	uint8_t *code = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED || fread(code, 1, len, file) != len)
		return 2;
	for (uint32_t n = 0; n < references; n++) {
		uint64_t to = address(r[n].kind, r[n].index) + r[n].addend;
		memcpy(code + r[n].at, &to, 8);
	}
	for (uint32_t n = 0; n < mains; n++) {
		uint64_t to = (uint64_t)code + target_at[n];
		memcpy(code + entries + 8 * n, &to, 8);
	}
	if (mprotect(code, len, PROT_READ | PROT_EXEC))
		return 2;
	__builtin___clear_cache((char *)code, (char *)code + len);

	// The rest of the state is the host's own: room for it.
	struct { struct call call; uint64_t rest[32]; } state = { 0 };
	state.call.cpu = cpu;
	state.call.ctx = (uint64_t)ctx;
	uint64_t r0 = ((uint64_t (*)(struct call *, uint64_t))(code + main_at[0]))(&state.call, (uint64_t)ctx);
	printf("%llx\n", (unsigned long long)r0);
	return 0;
}
