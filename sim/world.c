/* SPDX-License-Identifier: MIT */
/*
 * The publisher's side, without a publisher's files. Keys come from fixed seeds, never from the system.
 */
#include "sim/world.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIGNED_AT_S 1700000000
#define MIB               ((uint64_t)1 << 20)

static struct ay_secret_key make_key(unsigned keys, char role)
{
	struct ay_secret_key sk = {.id = {'s', 'i', 'm', (uint8_t)keys, (uint8_t)role}};
	uint8_t seed[crypto_sign_SEEDBYTES], pk[crypto_sign_PUBLICKEYBYTES];

	memset(seed, role, sizeof(seed));
	seed[0] = (uint8_t)keys;
	crypto_sign_seed_keypair(pk, sk.key, seed);
	return sk;
}

/* ---- signing */

static void take(struct ay_world_doc *doc, struct ay_buf *b)
{
	AY_ASSERT(!b->failed);
	doc->data = b->data;
	doc->len = b->len;
	ay_digest_mem(doc->data, doc->len, &doc->digest);
}

static void seal(struct ay_buf *text, const struct ay_secret_key *const *keys, unsigned n,
		 struct ay_world_doc *doc)
{
	struct ay_buf env = {0};
	int r = ay_envelope_write(text->data, text->len, keys, n, "simulated", &env, NULL);

	AY_ASSERT(r == 0);
	take(doc, &env);
	ay_buf_release(text);
}

static uint8_t key_index(const struct ay_root *root, const struct ay_secret_key *sk)
{
	for (unsigned i = 0; i < root->n_keys; i++)
		if (memcmp(root->keys[i].id, sk->id, sizeof(sk->id)) == 0)
			return (uint8_t)i;
	AY_ASSERT(!"the key is in the root");
	return 0;
}

static int cmp_keys(const void *a, const void *b)
{
	const struct ay_public_key *x = a, *y = b;

	return ay_key_id_cmp(x->id, y->id);
}

static void add_root(struct ay_world *w)
{
	const struct ay_secret_key *head = &w->head_key[w->n_roots];
	const struct ay_secret_key *all[] = {&w->root_key, &w->release_key, head};
	const struct ay_secret_key *roles[] = {&w->root_key, &w->release_key, head};
	struct ay_root *root = ay_root_new();
	struct ay_buf text = {0};

	AY_ASSERT(root && w->n_roots < AY_WORLD_ROOTS_MAX);
	root->version = w->n_roots + 1;
	memcpy(root->fleet, AY_WORLD_FLEET, sizeof(AY_WORLD_FLEET));
	for (unsigned i = 0; i < 3; i++)
		ay_secret_key_public(all[i], &root->keys[root->n_keys++]);
	qsort(root->keys, root->n_keys, sizeof(root->keys[0]), cmp_keys);
	for (unsigned i = 0; i < 3; i++)
		root->roles[i] =
			(struct ay_role_keys){.threshold = 1, .n = 1, .keys = {key_index(root, roles[i])}};
	root->roles[AY_ROLE_SCHOOL].threshold = 1;
	int r = ay_root_write(root, &text, NULL);
	AY_ASSERT(r == 0);
	seal(&text, roles, 1, &w->roots[w->n_roots++]);
	ay_root_free(root);
}

static void sign_head(struct ay_world *w, unsigned rollout)
{
	const struct ay_world_release *r = ay_world_newest(w);
	struct ay_head h = {.root_epoch = w->n_roots,
			    .serial = r->serial,
			    .min_serial = 1,
			    .rollout = (uint8_t)rollout,
			    .release = r->doc.digest,
			    .release_size = (uint32_t)r->doc.len,
			    .signed_at_s = w->clock_s++};

	ay_branch_id(AY_WORLD_FLEET, AY_WORLD_BRANCH, &h.branch);
	int rc = ay_head_sign(&h, &w->head_key[w->n_roots - 1], w->head);
	AY_ASSERT(rc == 0 && w->n_heads < AY_WORLD_HEADS_MAX);
	memcpy(w->heads[w->n_heads++], w->head, AY_HEAD_SIZE);
}

static void sign_release(struct ay_world *w, struct ay_world_release *out)
{
	const struct ay_secret_key *keys[] = {&w->release_key};
	struct ay_buf text = {0};
	struct ay_release r = {.serial = out->serial,
			       .root_epoch = w->n_roots,
			       .branch = AY_WORLD_BRANCH,
			       .date_s = w->clock_s,
			       .manifest = out->manifest,
			       .manifest_size = 1000 + ay_prng_below(&w->prng, 100000),
			       .unpacked_size = 20 * MIB + ay_prng_below(&w->prng, 400 * MIB),
			       .entries = 1 + ay_prng_below(&w->prng, 5000),
			       .min_serial = 1};

	snprintf(r.name, sizeof(r.name), "release %u", out->serial);
	int rc = ay_release_write(&r, &text, NULL);
	AY_ASSERT(rc == 0);
	seal(&text, keys, 1, &out->doc);
}

/* ---- publishing */

struct ay_world *ay_world_new(uint64_t seed, unsigned keys, size_t size_min, size_t size_max)
{
	struct ay_world *w = calloc(1, sizeof(*w));
	int r = sodium_init();

	AY_ASSERT(w && r >= 0);
	ay_prng_init(&w->prng, seed);
	w->root_key = make_key(keys, 'r');
	w->release_key = make_key(keys, 's');
	w->head_key[0] = make_key(keys, 'h');
	w->head_key[1] = make_key(keys, 'i');
	w->clock_s = FIRST_SIGNED_AT_S;
	w->size_min = size_min;
	w->size_max = size_max;
	add_root(w);
	return w;
}

void ay_world_free(struct ay_world *w)
{
	if (!w)
		return;
	for (unsigned i = 0; i < w->n_roots; i++)
		free(w->roots[i].data);
	for (unsigned i = 0; i < w->n_releases; i++)
		free(w->releases[i].doc.data);
	for (unsigned i = 0; i < w->n_bundles; i++) {
		free(w->bundles[i].data);
		free(w->bundles[i].offer.data);
	}
	free(w);
}

const struct ay_world_release *ay_world_publish(struct ay_world *w, uint32_t serial, unsigned rollout)
{
	AY_ASSERT(w->n_releases < AY_WORLD_RELEASES_MAX);
	AY_ASSERT(w->n_releases == 0 || serial > ay_world_newest(w)->serial);
	struct ay_world_release *r = &w->releases[w->n_releases++];
	r->serial = serial;
	for (unsigned i = 0; i < AY_DIGEST_LEN; i++)
		r->manifest.b[i] = (uint8_t)ay_prng_next(&w->prng);
	sign_release(w, r);
	sign_head(w, rollout);
	return r;
}

/* Many sizes are the awkward ones: a block, a piece, one byte more, nothing to hash. */
static size_t draw_size(struct ay_world *w)
{
	static const size_t odd[] = {1, 4096, 4097, 65536, 65537, 524288, 524289, 1048576};
	const size_t n = sizeof(odd) / sizeof(odd[0]);
	uint64_t k = ay_prng_below(&w->prng, 5 * n);

	if (k < n)
		return odd[k];
	return w->size_min + ay_prng_below(&w->prng, w->size_max - w->size_min + 1);
}

static void draw_bytes(struct ay_world *w, struct ay_world_bundle *b)
{
	uint64_t x;

	b->data = malloc(b->size);
	AY_ASSERT(b->data);
	for (size_t at = 0; at < b->size; at += sizeof(x)) {
		size_t n = b->size - at < sizeof(x) ? b->size - at : sizeof(x);
		x = ay_prng_next(&w->prng);
		memcpy(b->data + at, &x, n);
	}
	ay_digest_mem(b->data, b->size, &b->digest);
}

const struct ay_world_bundle *ay_world_offer(struct ay_world *w, const struct ay_digest *from, uint32_t to)
{
	const struct ay_secret_key *keys[] = {&w->release_key};
	const struct ay_world_release *goal = ay_world_serial(w, to);
	struct ay_buf text = {0};

	AY_ASSERT(goal && w->n_bundles < AY_WORLD_BUNDLES_MAX);
	struct ay_world_bundle *b = &w->bundles[w->n_bundles++];
	b->to = to;
	b->size = draw_size(w);
	draw_bytes(w, b);
	struct ay_offer o = {.branch = AY_WORLD_BRANCH,
			     .from = *from,
			     .to = goal->manifest,
			     .bundle = b->digest,
			     .bundle_size = b->size,
			     .unpacked_size = 4 * b->size,
			     .memory = MIB};
	int r = ay_offer_write(&o, &text, NULL);
	AY_ASSERT(r == 0);
	seal(&text, keys, 1, &b->offer);
	return b;
}

const struct ay_world_bundle *ay_world_bundle(struct ay_world *w, uint32_t from, uint32_t to)
{
	const struct ay_world_release *base = ay_world_serial(w, from);
	struct ay_digest nothing = {{0}};

	AY_ASSERT(base || from == 0);
	ay_world_offer(w, base ? &base->manifest : &nothing, to);
	w->bundles[w->n_bundles - 1].from = from;
	return &w->bundles[w->n_bundles - 1];
}

void ay_world_sign_again(struct ay_world *w, unsigned rollout)
{
	sign_head(w, rollout);
}

void ay_world_rotate(struct ay_world *w)
{
	add_root(w);
}

/* ---- looking up */

const struct ay_world_release *ay_world_newest(const struct ay_world *w)
{
	return w->n_releases ? &w->releases[w->n_releases - 1] : NULL;
}

const struct ay_world_release *ay_world_serial(const struct ay_world *w, uint32_t serial)
{
	for (unsigned i = 0; i < w->n_releases; i++)
		if (w->releases[i].serial == serial)
			return &w->releases[i];
	return NULL;
}

const struct ay_world_release *ay_world_release_doc(const struct ay_world *w,
						    const struct ay_digest *envelope)
{
	for (unsigned i = 0; i < w->n_releases; i++)
		if (ay_digest_eq(&w->releases[i].doc.digest, envelope))
			return &w->releases[i];
	return NULL;
}

const struct ay_world_bundle *ay_world_offer_doc(const struct ay_world *w, const struct ay_digest *envelope)
{
	for (unsigned i = 0; i < w->n_bundles; i++)
		if (ay_digest_eq(&w->bundles[i].offer.digest, envelope))
			return &w->bundles[i];
	return NULL;
}

const struct ay_world_bundle *ay_world_bundle_of(const struct ay_world *w, const struct ay_digest *bundle)
{
	for (unsigned i = 0; i < w->n_bundles; i++)
		if (ay_digest_eq(&w->bundles[i].digest, bundle))
			return &w->bundles[i];
	return NULL;
}
