/* SPDX-License-Identifier: MIT */
/*
 * The hash blocks of one digest.
 *
 * They are kept as the tree that they are: a node is one hash block with room for
 * pointers to the 128 below it, and the lowest level has no such room. So the
 * memory held is what has arrived and been verified, whatever size a stranger
 * names; "the level above is not there" is a missing pointer on the way down; and
 * no node can exist that is not proven by the digest.
 *
 * A hash block whose padding is not zero is refused even if its hash fits: no
 * file has such a digest, and accepting it would let data pass that
 * ay_digest_fd() would refuse afterwards.
 */
#include "base/merkle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/hasher_sink.h"

#define FANOUT AY_LEAVES_PER_HASH_BLOCK

struct node {
	uint8_t block[AY_LEAF_SIZE];
	struct node *below[]; /* FANOUT, none at level 0 */
};

struct ay_merkle {
	struct ay_digest digest;
	uint64_t size;
	unsigned levels;
	struct node *top;
};

static uint64_t div_up(uint64_t a, uint64_t b)
{
	return a / b + (a % b != 0);
}

static struct node *node_new(unsigned level, const uint8_t *block)
{
	size_t below = level > 0 ? FANOUT * sizeof(struct node *) : 0;
	struct node *n = malloc(sizeof(*n) + below);
	if (n) {
		memcpy(n->block, block, AY_LEAF_SIZE);
		memset((uint8_t *)n + sizeof(*n), 0, below);
	}
	return n;
}

/* Recursion is at most AY_MERKLE_LEVELS_MAX deep. */
static void node_free(struct node *n, unsigned level)
{
	if (!n)
		return;
	if (level > 0) {
		for (unsigned i = 0; i < FANOUT; i++)
			node_free(n->below[i], level - 1);
	}
	free(n);
}

struct ay_merkle *ay_merkle_new(const struct ay_digest *digest, uint64_t size)
{
	struct ay_merkle *m = malloc(sizeof(*m));
	if (m)
		*m = (struct ay_merkle){.digest = *digest, .size = size, .levels = ay__merkle_levels(size)};
	return m;
}

void ay_merkle_free(struct ay_merkle *m)
{
	if (!m)
		return;
	if (m->top)
		node_free(m->top, m->levels - 1);
	free(m);
}

const struct ay_digest *ay_merkle_digest(const struct ay_merkle *m)
{
	return &m->digest;
}

uint64_t ay_merkle_size(const struct ay_merkle *m)
{
	return m->size;
}

unsigned ay_merkle_levels(const struct ay_merkle *m)
{
	return m->levels;
}

uint64_t ay_merkle_width(const struct ay_merkle *m, unsigned level)
{
	if (level >= m->levels)
		return 0;
	uint64_t width = div_up(m->size, AY_LEAF_SIZE);
	for (unsigned l = 0; l <= level; l++)
		width = div_up(width, FANOUT);
	return width;
}

/* Which of the FANOUT places in its ancestor at @above belongs to (@level, @index) or leads there. */
static unsigned place(unsigned above, unsigned level, uint64_t index)
{
	return (unsigned)(index >> (7 * (above - 1 - level)) & (FANOUT - 1));
}
_Static_assert(FANOUT == 1 << 7, "place() takes 7 bits a level");

/* The node (@level, @index), which must be legal, or NULL. */
static struct node *find(const struct ay_merkle *m, unsigned level, uint64_t index)
{
	struct node *n = m->top;
	for (unsigned l = m->levels - 1; n && l > level; l--)
		n = n->below[place(l, level, index)];
	return n;
}

static bool legal(const struct ay_merkle *m, unsigned level, uint64_t index)
{
	return level < m->levels && index < ay_merkle_width(m, level);
}

const uint8_t *ay_merkle_get(const struct ay_merkle *m, unsigned level, uint64_t index)
{
	const struct node *n = legal(m, level, index) ? find(m, level, index) : NULL;
	return n ? n->block : NULL;
}

bool ay_merkle_has(const struct ay_merkle *m, unsigned level, uint64_t index)
{
	return ay_merkle_get(m, level, index) != NULL;
}

/* Is everything in hash block (@level, @index) behind its last hash zero? */
static bool padding_ok(const struct ay_merkle *m, unsigned level, uint64_t index, const uint8_t *block)
{
	uint64_t below = level > 0 ? ay_merkle_width(m, level - 1) : div_up(m->size, AY_LEAF_SIZE);
	uint64_t hashes = below - index * FANOUT;
	uint8_t seen = 0;

	for (uint64_t i = hashes < FANOUT ? hashes * AY_DIGEST_LEN : AY_LEAF_SIZE; i < AY_LEAF_SIZE; i++)
		seen |= block[i];
	return seen == 0;
}

int ay_merkle_add(struct ay_merkle *m, unsigned level, uint64_t index, const uint8_t *block)
{
	if (!legal(m, level, index))
		return AY_EFORMAT;
	struct node *known = find(m, level, index);
	if (known)
		return memcmp(known->block, block, AY_LEAF_SIZE) == 0 ? 0 : AY_EDIGEST;

	struct node **slot = &m->top, *above = NULL;
	if (level < m->levels - 1) {
		above = find(m, level + 1, index / FANOUT);
		if (!above)
			return -EAGAIN;
		slot = &above->below[index % FANOUT];
	}
	uint8_t hash[AY_DIGEST_LEN];
	ay_sha256(block, AY_LEAF_SIZE, hash);
	if (above) {
		if (memcmp(hash, above->block + index % FANOUT * AY_DIGEST_LEN, AY_DIGEST_LEN) != 0)
			return AY_EDIGEST;
	} else {
		struct ay_digest digest;
		ay__digest_of_root(m->size, hash, &digest);
		if (!ay_digest_eq(&digest, &m->digest))
			return AY_EDIGEST;
	}
	if (!padding_ok(m, level, index, block))
		return AY_EDIGEST;
	*slot = node_new(level, block);
	return *slot ? 0 : -ENOMEM;
}

/* A file without hash blocks is checked whole. */
static int check_small(const struct ay_merkle *m, const void *data, size_t len)
{
	uint8_t root[AY_DIGEST_LEN] = {0};
	struct ay_digest digest;

	if (len > 0)
		ay__leaf_hash(data, len, root);
	ay__digest_of_root(len, root, &digest);
	return ay_digest_eq(&digest, &m->digest) ? 0 : AY_EDIGEST;
}

int ay_merkle_check(const struct ay_merkle *m, uint64_t offset, const void *data, size_t len)
{
	const uint8_t *p = data;

	if (offset % AY_LEAF_SIZE != 0 || offset > m->size || len > m->size - offset)
		return AY_EFORMAT;
	if (len % AY_LEAF_SIZE != 0 && len != m->size - offset)
		return AY_EFORMAT;
	if (m->levels == 0)
		return len == m->size ? check_small(m, data, len) : 0;

	const struct node *hashes = NULL;
	for (size_t done = 0; done < len; done += AY_LEAF_SIZE) {
		uint64_t leaf = (offset + done) / AY_LEAF_SIZE;
		size_t leaf_len = len - done < AY_LEAF_SIZE ? len - done : AY_LEAF_SIZE;
		uint8_t hash[AY_DIGEST_LEN];

		if (!hashes || leaf % FANOUT == 0)
			hashes = find(m, 0, leaf / FANOUT);
		if (!hashes)
			return -EAGAIN;
		ay__leaf_hash(p + done, leaf_len, hash);
		if (memcmp(hash, hashes->block + leaf % FANOUT * AY_DIGEST_LEN, AY_DIGEST_LEN) != 0)
			return AY_EDIGEST;
	}
	return 0;
}

/* Nodes wait here for the one above them, which comes when it is full. */
struct builder {
	bool no_memory;
	struct node *waiting[AY_MERKLE_LEVELS_MAX][FANOUT];
};

static void builder_take(void *arg, unsigned level, uint64_t index, const uint8_t *block)
{
	struct builder *b = arg;
	struct node *n = b->no_memory ? NULL : node_new(level, block);

	if (!n) {
		b->no_memory = true;
		return;
	}
	if (level > 0) {
		memcpy(n->below, b->waiting[level - 1], sizeof(b->waiting[level - 1]));
		memset(b->waiting[level - 1], 0, sizeof(b->waiting[level - 1]));
	}
	b->waiting[level][index % FANOUT] = n;
}

static void builder_release(struct builder *b)
{
	for (unsigned level = 0; level < AY_MERKLE_LEVELS_MAX; level++) {
		for (unsigned i = 0; i < FANOUT; i++)
			node_free(b->waiting[level][i], level);
	}
}

/* Bytes come from @fd, or from @data if @fd is negative. */
static int build(int fd, const void *data, uint64_t size, struct ay_merkle **out)
{
	AY_FREE struct ay_hasher *h = ay_hasher_new();
	AY_CLEANUP(builder_release) struct builder b = {0};
	struct ay_digest digest;

	if (!h)
		return -ENOMEM;
	ay__hasher_set_sink(h, builder_take, &b);
	if (fd >= 0) {
		int rc = ay__hasher_feed_fd(h, fd, &size);
		if (rc < 0)
			return rc;
	} else {
		ay_hasher_update(h, data, (size_t)size);
	}
	ay_hasher_final(h, &digest);

	struct ay_merkle *m = b.no_memory ? NULL : ay_merkle_new(&digest, size);
	if (!m)
		return -ENOMEM;
	if (m->levels > 0)
		m->top = ay_steal_ptr(&b.waiting[m->levels - 1][0]);
	*out = m;
	return 0;
}

int ay_merkle_build_fd(int fd, struct ay_merkle **out)
{
	if (fd < 0)
		return -EBADF;
	return build(fd, NULL, 0, out);
}

int ay_merkle_build_mem(const void *data, size_t len, struct ay_merkle **out)
{
	return build(-1, data, len, out);
}
