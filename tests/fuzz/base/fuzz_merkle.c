/* SPDX-License-Identifier: MIT */
/*
 * A stranger offers hash blocks and data, right, damaged, displaced or made up,
 * in any order; a model that knows the whole file says what each answer must be.
 *
 * Input: byte 0 picks the file's size (0xff: digest and size are the input's own
 * and nothing is accepted). Then operations of 16 bytes:
 *     what (1)  level (1)  damage at (2)  index or offset (8)  length (4)
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/merkle.h"

#define MIB       ((size_t)1 << 20)
#define WIDTH_TOP 130

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const size_t sizes[] = {
	0,      1,      4095,    4096,    4097,    65536,    524287,       524288,
	524289, 600000, 1048576, 1048577, 3 * MIB, 64 * MIB, 64 * MIB + 1, 64 * MIB + 600000};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* Made at the first input and kept: the file's bytes (each size a prefix) and the whole trees. */
static uint8_t *file;
static struct ay_merkle *whole[SIZES];

static const struct ay_merkle *whole_of(size_t which)
{
	if (!file) {
		size_t len = sizes[SIZES - 1];
		uint64_t x = 1;
		file = malloc(len);
		AY_ASSERT(file);
		for (size_t i = 0; i < len; i++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			file[i] = (uint8_t)(x >> 56);
		}
	}
	if (!whole[which])
		AY_ASSERT(ay_merkle_build_mem(file, sizes[which], &whole[which]) == 0);
	return whole[which];
}

struct model {
	const struct ay_merkle *whole;
	struct ay_merkle *m;
	size_t size;
	bool known[AY_MERKLE_LEVELS_MAX][WIDTH_TOP];
};

enum { OFFER, OFFER_DAMAGED, OFFER_DISPLACED, OFFER_MADE_UP, CHECK, CHECK_DAMAGED, WHATS };

static void offer(struct model *t, unsigned what, unsigned level, uint64_t index, unsigned at)
{
	uint8_t block[AY_LEAF_SIZE];
	const uint8_t *right = ay_merkle_get(t->whole, level, index);
	bool legal = level < ay_merkle_levels(t->whole) && index < ay_merkle_width(t->whole, level);

	AY_ASSERT(legal == (right != NULL));
	memset(block, (int)at, sizeof(block));
	if (what == OFFER_DISPLACED && ay_merkle_levels(t->whole) > 0)
		memcpy(block, ay_merkle_get(t->whole, 0, at % ay_merkle_width(t->whole, 0)), sizeof(block));
	else if (what != OFFER_MADE_UP && right)
		memcpy(block, right, sizeof(block));
	if (what == OFFER_DAMAGED)
		block[at % AY_LEAF_SIZE] ^= (uint8_t)(1u << (at >> 12 & 7));

	int want = AY_EFORMAT;
	if (legal) {
		bool ready = level + 1 == ay_merkle_levels(t->whole) || t->known[level + 1][index / 128];
		bool same = memcmp(block, right, sizeof(block)) == 0;
		want = !ready ? -EAGAIN : same ? 0 : AY_EDIGEST;
		if (want == 0)
			t->known[level][index] = true;
	}
	AY_ASSERT(ay_merkle_add(t->m, level, index, block) == want);
}

static void check(struct model *t, bool damaged, uint64_t offset, uint32_t len, unsigned at)
{
	bool inside = offset <= t->size && len <= t->size - offset;
	bool aligned = offset % AY_LEAF_SIZE == 0 && (len % AY_LEAF_SIZE == 0 || offset + len == t->size);
	int want = inside && aligned ? 0 : AY_EFORMAT;
	uint8_t *copy = malloc(inside && len ? len : 1);

	AY_ASSERT(copy);
	if (inside)
		memcpy(copy, file + offset, len);
	damaged = damaged && inside && len > 0;
	size_t bad = damaged ? at * 251u % len : 0;
	if (damaged)
		copy[bad] ^= (uint8_t)(1u << (at & 7));
	if (want == 0 && ay_merkle_levels(t->whole) == 0)
		want = damaged ? AY_EDIGEST : 0; /* one leaf at most: whole, or nothing */
	else if (want == 0) {
		for (size_t done = 0; done < len && want == 0; done += AY_LEAF_SIZE) {
			if (!t->known[0][(offset + done) / AY_PIECE_SIZE])
				want = -EAGAIN;
			else if (damaged && bad / AY_LEAF_SIZE == done / AY_LEAF_SIZE)
				want = AY_EDIGEST;
		}
	}
	AY_ASSERT(ay_merkle_check(t->m, offset, copy, len) == want);
	free(copy);
}

static void run(struct model *t, struct ay_cursor *c)
{
	for (int ops = 0; ops < 256 && ay_cursor_left(c) >= 16; ops++) {
		unsigned what = ay_get_u8(c) % WHATS, level = ay_get_u8(c), at = ay_get_u16(c);
		uint64_t index = ay_get_u64(c);
		uint32_t len = ay_get_u32(c);
		/* Mostly near what exists, so that random input gets somewhere. */
		if (level < 0xf0)
			level &= 3;
		if (what < CHECK) {
			offer(t, what, level, index >> 56 == 0xff ? index : index % 131, at);
			continue;
		}
		if (index >> 56 != 0xff)
			index = t->size ? index % (t->size / AY_LEAF_SIZE + 2) * AY_LEAF_SIZE : 0;
		if (len >> 24 < 0x80)
			len = len % 20 * AY_LEAF_SIZE; /* a check costs as much as its bytes */
		if (len >> 24 < 0xf0 && index <= t->size && len > t->size - index)
			len = (uint32_t)(t->size - index);
		check(t, what == CHECK_DAMAGED, index, len, at);
	}
	for (unsigned level = 0; level < ay_merkle_levels(t->whole); level++) {
		for (uint64_t i = 0; i < ay_merkle_width(t->whole, level); i++) {
			const uint8_t *block = ay_merkle_get(t->m, level, i);
			AY_ASSERT((block != NULL) == t->known[level][i]);
			AY_ASSERT(!block ||
				  memcmp(block, ay_merkle_get(t->whole, level, i), AY_LEAF_SIZE) == 0);
		}
	}
}

/*
 * Digest, size and hash blocks from the input: none can be right. The digest is a hash of the input's
 * bytes, because libFuzzer watches memcmp() and would copy the one that a block is compared with.
 */
static void run_made_up(struct ay_cursor *c)
{
	struct ay_digest digest;
	ay_get_copy(c, digest.b, sizeof(digest.b));
	ay_sha256(digest.b, sizeof(digest.b), digest.b);
	struct ay_merkle *m = ay_merkle_new(&digest, ay_get_u64(c));
	AY_ASSERT(m);
	while (ay_cursor_left(c) >= 9) {
		unsigned level = ay_get_u8(c) % 10;
		uint64_t index = ay_get_u64(c), width = ay_merkle_width(m, level);
		uint8_t block[AY_LEAF_SIZE] = {(uint8_t)index};
		AY_ASSERT((width > 0) == (level < ay_merkle_levels(m)));
		AY_ASSERT(level == 0 || width <= ay_merkle_width(m, level - 1));
		int rc = ay_merkle_add(m, level, index, block);
		bool top = level + 1 == ay_merkle_levels(m);
		AY_ASSERT(rc == (index >= width ? AY_EFORMAT : top ? AY_EDIGEST : -EAGAIN));
		AY_ASSERT(!ay_merkle_has(m, level, index));
		rc = ay_merkle_check(m, index, block, 1);
		AY_ASSERT(rc < 0);
	}
	ay_merkle_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ay_cursor c;
	ay_cursor_init(&c, data, len);
	unsigned which = ay_get_u8(&c);
	if (which == 0xff) {
		run_made_up(&c);
		return 0;
	}
	struct model t = {.size = sizes[which % SIZES], .whole = whole_of(which % SIZES)};
	t.m = ay_merkle_new(ay_merkle_digest(t.whole), t.size);
	AY_ASSERT(t.m);
	run(&t, &c);
	ay_merkle_free(t.m);
	return 0;
}
