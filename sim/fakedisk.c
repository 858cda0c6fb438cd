/* SPDX-License-Identifier: MIT */
/*
 * A disk in memory, as forgetful as a real one. Bundles are kept as store/bundles.h keeps them: the data where it
 * belongs, the hash blocks beside it, and no list of what is had; that is found out anew at each start.
 */
#include "sim/fakedisk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void *grow(void *p, size_t n, size_t size)
{
	p = reallocarray(p, n, size);
	AY_ASSERT(p);
	return p;
}

static void *zeros(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);
	AY_ASSERT(p);
	return p;
}

/* ---- documents and branches */

static uint32_t version_of(struct ay_slice data)
{
	struct ay_envelope env;
	struct ay_root *root = NULL;
	uint32_t version = 0;

	if (ay_envelope_parse(data.data, data.len, &env, NULL) == 0 &&
	    ay_root_parse(env.text.data, env.text.len, &root, NULL) == 0)
		version = root->version;
	ay_root_free(root);
	return version;
}

const struct ay_fakedoc *ay_fakedisk_doc(const struct ay_fakedisk *d, enum ay_event_type type,
					 const struct ay_digest *digest)
{
	for (unsigned i = 0; i < d->n_docs; i++)
		if (d->docs[i].type == type && ay_digest_eq(&d->docs[i].digest, digest))
			return &d->docs[i];
	return NULL;
}

bool ay_fakedisk_add_doc(struct ay_fakedisk *d, enum ay_event_type type, struct ay_slice data)
{
	struct ay_fakedoc doc = {.type = type, .len = data.len};

	ay_digest_mem(data.data, data.len, &doc.digest);
	if (ay_fakedisk_doc(d, type, &doc.digest))
		return false;
	doc.version = type == AY_EV_ROOT ? version_of(data) : 0;
	doc.data = zeros(data.len, 1);
	memcpy(doc.data, data.data, data.len);
	d->docs = grow(d->docs, d->n_docs + 1, sizeof(*d->docs));
	d->docs[d->n_docs++] = doc;
	return true;
}

uint32_t ay_fakedisk_root_version(const struct ay_fakedisk *d)
{
	uint32_t newest = 0;

	for (unsigned i = 0; i < d->n_docs; i++)
		if (d->docs[i].version > newest)
			newest = d->docs[i].version;
	return newest;
}

struct ay_fakebranch *ay_fakedisk_branch(struct ay_fakedisk *d, const char *name, bool create)
{
	size_t len = strlen(name);

	for (unsigned i = 0; i < d->n_branches; i++)
		if (strcmp(d->branches[i].name, name) == 0)
			return &d->branches[i];
	if (!create)
		return NULL;
	AY_ASSERT(d->n_branches < AY_CORE_BRANCHES_MAX && len <= AY_BRANCH_NAME_MAX);
	struct ay_fakebranch *b = &d->branches[d->n_branches++];
	*b = (struct ay_fakebranch){.follow = false};
	memcpy(b->name, name, len + 1);
	return b;
}

void ay_fakedisk_set_head(struct ay_fakebranch *b, const uint8_t head[AY_HEAD_SIZE])
{
	struct ay_head old, new;

	if (b->has_head && ay_head_parse(b->head, AY_HEAD_SIZE, &old, NULL) == 0 &&
	    ay_head_parse(head, AY_HEAD_SIZE, &new, NULL) == 0) {
		int cmp = ay_head_cmp(&new, &old);
		if (cmp < 0 || (cmp == 0 && new.signed_at_s < old.signed_at_s))
			return;
	}
	memcpy(b->head, head, AY_HEAD_SIZE);
	b->has_head = true;
}

/* ---- bundles */

struct ay_fakebundle *ay_fakedisk_find(const struct ay_fakedisk *d, const struct ay_digest *digest)
{
	for (struct ay_fakebundle *b = d->bundles; b; b = b->next)
		if (!b->dropped && ay_digest_eq(&b->digest, digest))
			return b;
	return NULL;
}

struct ay_fakebundle *ay_fakedisk_begin(struct ay_fakedisk *d, const struct ay_digest *digest, uint64_t size)
{
	struct ay_fakebundle *b = zeros(1, sizeof(*b));

	b->digest = *digest;
	b->size = size;
	b->blocks = (uint32_t)ay_blocks_of(size);
	b->next = d->bundles;
	d->bundles = b;
	return b;
}

static void bundle_free(struct ay_fakebundle *b)
{
	if (!b->lent)
		free(b->data);
	free(b->bitmap);
	free(b->at_ns);
	free(b->hashes);
	ay_merkle_free(b->merkle);
	free(b);
}

void ay_fakedisk_remove(struct ay_fakedisk *d, struct ay_fakebundle *b)
{
	struct ay_fakebundle **p = &d->bundles;

	while (*p != b)
		p = &(*p)->next;
	*p = b->next;
	bundle_free(b);
}

void ay_fakebundle_close(struct ay_fakebundle *b)
{
	/* A whole one cannot change any more: its tree would come out the same at the next start. */
	if (!b->whole) {
		ay_merkle_free(b->merkle);
		b->merkle = NULL;
	}
	b->state = AY_FAKE_CLOSED;
}

static bool bit(const uint8_t *bits, uint32_t i)
{
	return bits[i / 8] >> (i % 8) & 1;
}

static void set_had(struct ay_fakebundle *b, uint32_t i)
{
	if (bit(b->bitmap, i))
		return;
	b->bitmap[i / 8] |= (uint8_t)(1u << (i % 8));
	b->n_had++;
}

static void make_whole(struct ay_fakebundle *b)
{
	int r = b->merkle ? 0 : ay_merkle_build_mem(b->data, b->size, &b->merkle);

	AY_ASSERT(r == 0);
	b->n_had = b->blocks;
	b->state = AY_FAKE_OPEN;
}

static void add_kept_hashes(struct ay_fakebundle *b)
{
	unsigned kept = 0;

	for (int level = AY_MERKLE_LEVELS_MAX; level >= 0; level--)
		for (unsigned i = 0; i < b->n_hashes; i++)
			if (b->hashes[i].level == (unsigned)level)
				ay_merkle_add(b->merkle, (unsigned)level, b->hashes[i].index,
					      b->hashes[i].block);
	for (unsigned i = 0; i < b->n_hashes; i++)
		if (ay_merkle_has(b->merkle, b->hashes[i].level, b->hashes[i].index))
			b->hashes[kept++] = b->hashes[i];
	b->n_hashes = kept;
}

void ay_fakebundle_resume(struct ay_fakebundle *b, bool forget)
{
	AY_ASSERT(b->state < AY_FAKE_OPEN);
	if (b->whole) {
		make_whole(b);
		return;
	}
	if (!b->data) {
		b->data = zeros(b->size, 1);
		b->bitmap = zeros((b->blocks + 7) / 8, 1);
		b->at_ns = zeros(b->blocks, sizeof(*b->at_ns));
	}
	b->merkle = ay_merkle_new(&b->digest, b->size);
	AY_ASSERT(b->merkle);
	add_kept_hashes(b);
	memset(b->bitmap, 0, (b->blocks + 7) / 8);
	b->n_had = 0;
	for (uint32_t i = 0; i < b->blocks && !forget; i++) {
		uint64_t at = (uint64_t)i * AY_BLOCK_SIZE;
		if (ay_merkle_check(b->merkle, at, b->data + at, ay_block_len(b->size, i)) == 0)
			set_had(b, i);
	}
	b->state = AY_FAKE_OPEN;
}

/* The sync that was due since the last write has been done meanwhile. */
static void sync_if_due(struct ay_fakebundle *b, uint64_t now_ns)
{
	if (!b->dirty_ns)
		return;
	if (now_ns - b->dirty_ns >= AY_FAKEDISK_SYNC_NS || b->dirty_bytes >= AY_FAKEDISK_SYNC_BYTES) {
		b->synced_ns = now_ns - b->dirty_ns >= AY_FAKEDISK_SYNC_NS ? b->dirty_ns + AY_FAKEDISK_SYNC_NS
									   : now_ns;
		b->dirty_ns = b->dirty_bytes = 0;
	}
}

static void note_written(struct ay_fakebundle *b, size_t len, uint64_t now_ns)
{
	sync_if_due(b, now_ns);
	if (!b->dirty_ns)
		b->dirty_ns = now_ns;
	b->dirty_bytes += len;
}

int ay_fakebundle_write(struct ay_fakebundle *b, uint32_t index, struct ay_slice data, uint64_t now_ns,
			bool blind)
{
	uint64_t at = (uint64_t)index * AY_BLOCK_SIZE;
	int r;

	if (index >= b->blocks || data.len != ay_block_len(b->size, index))
		return AY_EFORMAT;
	r = ay_merkle_check(b->merkle, at, data.data, data.len);
	if (r && !blind)
		return r;
	if (b->whole || b->state == AY_FAKE_FINISHING || bit(b->bitmap, index))
		return 0;
	note_written(b, data.len, now_ns);
	memcpy(b->data + at, data.data, data.len);
	b->at_ns[index] = now_ns;
	set_had(b, index);
	return 0;
}

int ay_fakebundle_add_hashes(struct ay_fakebundle *b, unsigned level, uint32_t index, const uint8_t *block,
			     uint64_t now_ns)
{
	bool had = level < ay_merkle_levels(b->merkle) && ay_merkle_has(b->merkle, level, index);
	int r = ay_merkle_add(b->merkle, level, index, block);

	if (r || had || b->whole || b->state == AY_FAKE_FINISHING)
		return r;
	note_written(b, AY_LEAF_SIZE, now_ns);
	b->hashes = grow(b->hashes, b->n_hashes + 1, sizeof(*b->hashes));
	struct ay_fakehash *h = &b->hashes[b->n_hashes++];
	*h = (struct ay_fakehash){.level = level, .index = index, .at_ns = now_ns};
	memcpy(h->block, block, AY_LEAF_SIZE);
	return 0;
}

void ay_fakebundle_power_cut(struct ay_fakebundle *b, uint64_t now_ns, struct ay_prng *prng)
{
	unsigned kept = 0;

	if (b->whole || !b->data)
		return;
	sync_if_due(b, now_ns);
	for (uint32_t i = 0; i < b->blocks; i++) {
		bool unsynced = b->at_ns[i] > b->synced_ns;
		b->at_ns[i] = 0;
		if (unsynced && ay_prng_below(prng, 2))
			memset(b->data + (uint64_t)i * AY_BLOCK_SIZE, 0, ay_block_len(b->size, i));
	}
	for (unsigned i = 0; i < b->n_hashes; i++) {
		bool lost = b->hashes[i].at_ns > b->synced_ns && ay_prng_below(prng, 2);
		b->hashes[i].at_ns = 0;
		if (!lost)
			b->hashes[kept++] = b->hashes[i];
	}
	b->n_hashes = kept;
	b->dirty_ns = b->dirty_bytes = b->synced_ns = 0;
}

void ay_fakedisk_release(struct ay_fakedisk *d)
{
	for (unsigned i = 0; i < d->n_docs; i++)
		free(d->docs[i].data);
	free(d->docs);
	while (d->bundles)
		ay_fakedisk_remove(d, d->bundles);
}
