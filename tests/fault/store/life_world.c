/* SPDX-License-Identifier: MIT */
/* What the publisher of a store's life has: trees, bundles, heads. See life.h. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/merkle.h"
#include "base/prng.h"
#include "manifest/head.h"
#include "manifest/root.h"
#include "tests/fault/store/life.h"
#include "tests/support/same_everywhere.h"

/* A seed is the same life on every machine: names are digests, and what is signed has one. */
static void same_keys(struct kit *k)
{
	uint8_t seed[32];

	same_everywhere(0);
	memset(seed, 7, sizeof(seed));
	memset(k->key.id, 7, sizeof(k->key.id));
	memcpy(k->public_key.id, k->key.id, sizeof(k->public_key.id));
	if (crypto_sign_seed_keypair(k->public_key.key, k->key.key, seed) < 0)
		crash_die("cannot make a key");
	kit_root_with_rule(k, NULL, NULL);
}

static void make_tree(struct kit *k, unsigned b, unsigned n)
{
	static const struct timespec then[2] = {{1690000000, 1}, {1690000000, 1}};
	char p[64], v[16];

	snprintf(v, sizeof(v), "v%u-%u", b, n);
	kit_mkdir(k, v, 0755);
#define AT(rest) (snprintf(p, sizeof(p), "%s/" rest, v), p)
	if (b == 0) /* more than a page, so that it tears */
		kit_noise(k, AT("changes"), 9000, 3000 + (uint64_t)n, 0644);
	kit_text(k, AT("kept"), "always the same, in both branches", 0644);
	kit_text(k, AT("mode"), "only my mode changes", n % 2 ? 0600 : 0640);
	kit_mkdir(k, AT("d"), 0750);
	kit_text(k, n % 2 ? AT("d/odd") : AT("d/even"), n % 2 ? "odd" : "even", 0644);
	kit_text(k, AT("d/twin"), "always the same, in both branches", 0644);
	kit_symlink(k, AT("link"), n % 2 ? "d" : "kept");
	if (utimensat(k->fd, AT("d"), then, 0) < 0 || utimensat(k->fd, v, then, 0) < 0)
		crash_die("utimens %s: %s", v, strerror(errno));
#undef AT
}

static void make_root2(struct world *w)
{
	const struct ay_secret_key *keys[1] = {&w->k.key};
	struct ay_root *root = ay_root_new();
	struct ay_buf text = {0};
	struct ay_err err = {0};

	root->version = 2;
	snprintf(root->fleet, sizeof(root->fleet), "test");
	root->n_keys = 1;
	root->keys[0] = w->k.public_key;
	for (int i = 0; i < AY_ROLES; i++)
		root->roles[i] = (struct ay_role_keys){.threshold = 1, .n = 1};
	if (ay_root_write(root, &text, &err) < 0 ||
	    ay_envelope_write(text.data, text.len, keys, 1, "test", &w->root2, &err) < 0)
		crash_die("root 2: %s", err.msg);
	ay_root_free(root);
	ay_buf_release(&text);
}

static void make_heads(struct world *w, unsigned b, uint32_t serial)
{
	struct ay_head h = {.root_epoch = 1,
			    .serial = serial,
			    .rollout = 100,
			    .release_size = (uint32_t)w->tree[b][serial].release.len,
			    .signed_at_s = 1700000000 + serial};

	ay_branch_id("test", life_branch[b], &h.branch);
	ay_digest_mem(w->tree[b][serial].release.data, w->tree[b][serial].release.len, &h.release);
	if (ay_head_sign(&h, &w->k.key, w->head[b][serial]) < 0)
		crash_die("cannot sign a head");
}

static void make_source(struct world *w, unsigned i)
{
	struct ay_prng r;
	size_t size =
		i == 0 ? AY_PIECE_SIZE + 70000 : AY_BLOCK_SIZE + 5000; /* with and without hash blocks */
	uint8_t *data = malloc(size + 8);

	ay_prng_init(&r, 99 + i);
	for (size_t at = 0; data && at < size; at += 8) {
		uint64_t v = ay_prng_next(&r);
		memcpy(data + at, &v, 8);
	}
	w->source[i].data = data;
	w->source[i].size = size;
	if (!data || ay_merkle_build_mem(data, size, &w->source[i].merkle) < 0)
		crash_die("out of memory");
	w->source[i].digest = *ay_merkle_digest(w->source[i].merkle);
}

void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	kit_init(&w->k);
	same_keys(&w->k);
	for (unsigned b = 0; b < LIFE_BRANCHES; b++) {
		for (uint32_t n = 1; n <= LIFE_SERIALS; n++) {
			char dir[16];
			make_tree(&w->k, b, n);
			snprintf(dir, sizeof(dir), "v%u-%u", b, n);
			kit_publish(&w->k, dir, life_branch[b], n, &w->tree[b][n]);
			make_heads(w, b, n);
		}
	}
	for (uint32_t n = 1; n <= LIFE_SERIALS; n++) {
		w->bundle[n][0] = kit_bundle(&w->k, NULL, &w->tree[0][n], &w->offer[n][0]);
		w->bundle[n][1] =
			n == 1 ? -1 : kit_bundle(&w->k, &w->tree[0][n - 1], &w->tree[0][n], &w->offer[n][1]);
	}
	make_root2(w);
	for (unsigned i = 0; i < LIFE_BUNDLES; i++)
		make_source(w, i);
}

void world_release(struct world *w)
{
	for (unsigned b = 0; b < LIFE_BRANCHES; b++) {
		for (uint32_t n = 1; n <= LIFE_SERIALS; n++)
			kit_tree_release(&w->tree[b][n]);
	}
	for (uint32_t n = 1; n <= LIFE_SERIALS; n++) {
		close(w->bundle[n][0]);
		if (w->bundle[n][1] >= 0)
			close(w->bundle[n][1]);
	}
	for (unsigned i = 0; i < LIFE_BUNDLES; i++) {
		free(w->source[i].data);
		ay_merkle_free(w->source[i].merkle);
	}
	ay_buf_release(&w->root2);
	kit_release(&w->k);
}
