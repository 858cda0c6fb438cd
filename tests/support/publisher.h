/* SPDX-License-Identifier: MIT */
/*
 * tests/support/publisher.h - a publisher in memory: real keys, roots, releases, offers, heads; bundles of random bytes with real Merkle
 * trees. All of it follows from a seed.
 */
#ifndef AYNI_TESTS_SUPPORT_PUBLISHER_H
#define AYNI_TESTS_SUPPORT_PUBLISHER_H

#include "base/merkle.h"
#include "manifest/trust.h"

#define PUBLISHER_MAX 16

struct published_release {
	uint32_t serial;
	struct ay_digest manifest;
	struct ay_buf envelope;
	uint8_t head[AY_HEAD_SIZE];
};

struct published_bundle {
	uint32_t from, to; /* serials; 0: nothing */
	uint8_t *data;
	size_t size;
	struct ay_digest digest;
	struct ay_buf offer;
};

struct publisher {
	uint64_t seed;
	char branch[AY_BRANCH_NAME_MAX + 1];
	unsigned key; /* the one that signs now */
	struct ay_secret_key keys[4];
	struct ay_buf roots[4];
	unsigned n_roots;
	struct published_release releases[PUBLISHER_MAX];
	unsigned n_releases;
	struct published_bundle bundles[PUBLISHER_MAX];
	unsigned n_bundles;
	/* What the offers made from now on declare; 0: 8 MiB. NULL: no encoder. */
	uint64_t apply_memory;
	const char *encoder;
};

/** publisher_init() - a fleet with root 1 and no release yet. */
void publisher_init(struct publisher *p, uint64_t seed);
void publisher_free(struct publisher *p);
/** publisher_rotate() - the next root: another key for all roles. */
void publisher_rotate(struct publisher *p);
const struct published_release *publisher_release(struct publisher *p, uint32_t serial, uint8_t rollout);
const struct published_bundle *publisher_bundle(struct publisher *p, uint32_t from, uint32_t to, size_t size);
const struct published_release *published(const struct publisher *p, uint32_t serial);
/** publisher_head() - a head for a release, signed anew; @key: index of the key that signs. */
void publisher_head(const struct publisher *p, uint32_t serial, uint8_t rollout, uint64_t signed_at_s,
		    unsigned key, uint8_t out[AY_HEAD_SIZE]);

#endif
