/* SPDX-License-Identifier: MIT */
/*
 * sim/world.h - a publisher: keys, roots, releases, offers, heads and bundles, all from one seed.
 *
 * The core never looks into a bundle, so its bytes are random; everything signed is signed for real. What
 * this publisher has published is the truth that the monitor compares with. A stranger is a publisher with
 * other keys who claims the same fleet and branch.
 */
#ifndef AYNI_SIM_WORLD_H
#define AYNI_SIM_WORLD_H

#include "base/prng.h"
#include "manifest/trust.h"

#define AY_WORLD_RELEASES_MAX 8
#define AY_WORLD_BUNDLES_MAX  32
#define AY_WORLD_ROOTS_MAX    2
#define AY_WORLD_HEADS_MAX    32
#define AY_WORLD_FLEET        "classroom"
#define AY_WORLD_BRANCH       "xo/stable"

struct ay_world_doc {
	uint8_t *data;
	size_t len;
	struct ay_digest digest; /* of the envelope */
};

struct ay_world_release {
	uint32_t serial;
	struct ay_digest manifest;
	struct ay_world_doc doc;
};

struct ay_world_bundle {
	uint32_t from, to; /* serials; from 0: from nothing */
	struct ay_digest digest;
	uint8_t *data;
	size_t size;
	struct ay_world_doc offer;
};

struct ay_world {
	struct ay_prng prng;
	struct ay_secret_key root_key, release_key, head_key[AY_WORLD_ROOTS_MAX];
	struct ay_world_doc roots[AY_WORLD_ROOTS_MAX];
	unsigned n_roots;
	struct ay_world_release releases[AY_WORLD_RELEASES_MAX]; /* ascending serials */
	unsigned n_releases;
	struct ay_world_bundle bundles[AY_WORLD_BUNDLES_MAX];
	unsigned n_bundles;
	uint8_t head[AY_HEAD_SIZE];                      /* the newest; none without a release */
	uint8_t heads[AY_WORLD_HEADS_MAX][AY_HEAD_SIZE]; /* all that were ever signed */
	unsigned n_heads;
	uint64_t clock_s;          /* signed_at of the next head */
	size_t size_min, size_max; /* of bundles */
};

/** ay_world_new() - root 1, nothing else. @keys: publishers with different numbers have different keys. */
struct ay_world *ay_world_new(uint64_t seed, unsigned keys, size_t size_min, size_t size_max);
void ay_world_free(struct ay_world *w);

/** ay_world_publish() - release @serial (above the last) and a new head; @rollout in percent. No bundle. */
const struct ay_world_release *ay_world_publish(struct ay_world *w, uint32_t serial, unsigned rollout);
/** ay_world_bundle() - make and offer the bundle between two releases of this world; @from 0: from nothing. */
const struct ay_world_bundle *ay_world_bundle(struct ay_world *w, uint32_t from, uint32_t to);
/** ay_world_offer() - offer it from any tree; for strangers. */
const struct ay_world_bundle *ay_world_offer(struct ay_world *w, const struct ay_digest *from, uint32_t to);
/** ay_world_sign_again() - the same release under a newer head. */
void ay_world_sign_again(struct ay_world *w, unsigned rollout);
/** ay_world_rotate() - root 2, with another head key; what is signed later belongs to its epoch. */
void ay_world_rotate(struct ay_world *w);

const struct ay_world_release *ay_world_newest(const struct ay_world *w);
const struct ay_world_release *ay_world_serial(const struct ay_world *w, uint32_t serial);
const struct ay_world_release *ay_world_release_doc(const struct ay_world *w,
						    const struct ay_digest *envelope);
const struct ay_world_bundle *ay_world_offer_doc(const struct ay_world *w, const struct ay_digest *envelope);
const struct ay_world_bundle *ay_world_bundle_of(const struct ay_world *w, const struct ay_digest *bundle);

#endif
