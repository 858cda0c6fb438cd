/* SPDX-License-Identifier: MIT */
/* Signing for stories: whatever fails here is the story's own mistake and ends it. */
#include "tests/support/publisher.h"

#include "base/prng.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define FLEET "story"

static void fill(uint64_t seed, void *out, size_t len)
{
	struct ay_prng r;
	uint8_t *p = out;

	ay_prng_init(&r, seed);
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = ay_prng_next(&r);
		memcpy(p + i, &v, len - i < 8 ? len - i : 8);
	}
}

static void make_key(uint64_t seed, struct ay_secret_key *sk)
{
	uint8_t bytes[32], pk[32];

	fill(seed, bytes, sizeof(bytes));
	fill(seed + 1, sk->id, sizeof(sk->id));
	crypto_sign_seed_keypair(pk, sk->key, bytes);
}

static void sign(const struct publisher *p, const struct ay_buf *text, unsigned key, struct ay_buf *out)
{
	const struct ay_secret_key *keys[2] = {&p->keys[key], NULL};
	unsigned n = 1;

	/* A root after the first is signed by the key before as well. */
	if (key != p->key)
		keys[n++] = &p->keys[p->key];
	if (n == 2 && memcmp(keys[0]->id, keys[1]->id, 8) > 0) {
		const struct ay_secret_key *t = keys[0];
		keys[0] = keys[1];
		keys[1] = t;
	}
	AY_ASSERT(ay_envelope_write(text->data, text->len, keys, n, "story", out, NULL) == 0);
}

static void make_root(struct publisher *p, unsigned key)
{
	struct ay_root *root = ay_root_new();
	struct ay_buf text = {0};

	root->version = p->n_roots + 1;
	memcpy(root->fleet, FLEET, sizeof(FLEET));
	root->n_keys = 1;
	ay_secret_key_public(&p->keys[key], &root->keys[0]);
	for (unsigned i = 0; i < AY_ROLES; i++)
		root->roles[i] = (struct ay_role_keys){.threshold = 1, .n = 1};
	AY_ASSERT(ay_root_write(root, &text, NULL) == 0);
	sign(p, &text, key, &p->roots[p->n_roots++]);
	ay_buf_release(&text);
	ay_root_free(root);
}

void publisher_init(struct publisher *p, uint64_t seed)
{
	memset(p, 0, sizeof(*p));
	p->seed = seed;
	memcpy(p->branch, "xo/stable", 10);
	for (unsigned i = 0; i < 4; i++)
		make_key(seed * 100 + i * 10, &p->keys[i]);
	make_root(p, 0);
}

void publisher_free(struct publisher *p)
{
	for (unsigned i = 0; i < p->n_roots; i++)
		ay_buf_release(&p->roots[i]);
	for (unsigned i = 0; i < p->n_releases; i++)
		ay_buf_release(&p->releases[i].envelope);
	for (unsigned i = 0; i < p->n_bundles; i++) {
		ay_buf_release(&p->bundles[i].offer);
		free(p->bundles[i].data);
	}
}

void publisher_rotate(struct publisher *p)
{
	AY_ASSERT(p->n_roots < 4);
	make_root(p, p->key + 1);
	p->key++;
}

const struct published_release *published(const struct publisher *p, uint32_t serial)
{
	for (unsigned i = 0; i < p->n_releases; i++)
		if (p->releases[i].serial == serial)
			return &p->releases[i];
	return NULL;
}

void publisher_head(const struct publisher *p, uint32_t serial, uint8_t rollout, uint64_t signed_at_s,
		    unsigned key, uint8_t out[AY_HEAD_SIZE])
{
	const struct published_release *r = published(p, serial);
	struct ay_head h = {.root_epoch = p->n_roots, .serial = serial, .rollout = rollout};

	ay_branch_id(FLEET, p->branch, &h.branch);
	h.signed_at_s = signed_at_s;
	ay_digest_mem(r->envelope.data, r->envelope.len, &h.release);
	h.release_size = (uint32_t)r->envelope.len;
	AY_ASSERT(ay_head_sign(&h, &p->keys[key], out) == 0);
}

const struct published_release *publisher_release(struct publisher *p, uint32_t serial, uint8_t rollout)
{
	struct published_release *out = &p->releases[p->n_releases++];
	struct ay_release *r = calloc(1, sizeof(*r));
	struct ay_buf text = {0};

	AY_ASSERT(p->n_releases <= PUBLISHER_MAX && r);
	out->serial = serial;
	fill(p->seed * 1000 + serial, out->manifest.b, AY_DIGEST_LEN);
	memcpy(r->branch, p->branch, sizeof(r->branch));
	memcpy(r->name, "story", 6);
	r->serial = serial;
	r->root_epoch = p->n_roots;
	r->date_s = 1700000000 + serial;
	r->manifest = out->manifest;
	r->manifest_size = 1000;
	r->unpacked_size = 100 << 20;
	r->entries = 10;
	AY_ASSERT(ay_release_write(r, &text, NULL) == 0);
	sign(p, &text, p->key, &out->envelope);
	publisher_head(p, serial, rollout, 1700000000 + serial, p->key, out->head);
	ay_buf_release(&text);
	free(r);
	return out;
}

const struct published_bundle *publisher_bundle(struct publisher *p, uint32_t from, uint32_t to, size_t size)
{
	struct published_bundle *out = &p->bundles[p->n_bundles++];
	struct ay_offer *o = calloc(1, sizeof(*o));
	struct ay_buf text = {0};

	AY_ASSERT(p->n_bundles <= PUBLISHER_MAX && o);
	*out = (struct published_bundle){.from = from, .to = to, .size = size, .data = malloc(size)};
	AY_ASSERT(out->data);
	fill(p->seed * 7919 + from * 100 + to, out->data, size);
	ay_digest_mem(out->data, size, &out->digest);
	memcpy(o->branch, p->branch, sizeof(o->branch));
	if (from)
		o->from = published(p, from)->manifest;
	o->to = published(p, to)->manifest;
	o->bundle = out->digest;
	o->bundle_size = size;
	o->unpacked_size = 100 << 20;
	o->memory = p->apply_memory ? p->apply_memory : 8 << 20;
	if (p->encoder) {
		snprintf(o->encoders[0], sizeof(o->encoders[0]), "%s", p->encoder);
		o->n_encoders = 1;
	}
	AY_ASSERT(ay_offer_write(o, &text, NULL) == 0);
	sign(p, &text, p->key, &out->offer);
	ay_buf_release(&text);
	free(o);
	return out;
}
