/* SPDX-License-Identifier: MIT */
/*
 * tests/powercut/world.h - the publisher of the story: trees, releases, bundles, roots, heads.
 *
 * All of it follows from nothing but this code, so that a recording can be looked at again by another process.
 */
#ifndef AYNI_TESTS_POWERCUT_WORLD_H
#define AYNI_TESTS_POWERCUT_WORLD_H

#include "base/merkle.h"
#include "manifest/trust.h"
#include "store/repo.h"
#include "tests/support/store_kit.h"

#define WORLD_SERIALS 3 /* of branch "b" */
#define WORLD_BLOBS   5

/* A bundle as its maker has it. */
struct blob {
	const char *name;
	uint8_t *data;
	size_t size;
	struct ay_merkle *merkle;
	struct ay_digest digest;
	int fd; /* -1: bytes that are no bundle, only to be collected */
	struct ay_offer offer;
};

enum { BLOB_1, BLOB_2, BLOB_3, BLOB_ALL, BLOB_LONG }; /* to serial 1, 1-2, 2-3, from nothing to 3; noise */

struct world {
	struct kit k;
	struct kit_tree b[WORLD_SERIALS]; /* branch "b", serials 1, 2, 3 */
	struct kit_tree c[2];             /* branch "c", serials 1, 2; never bundled */
	struct kit_tree d;    /* branch "d", serial 1: lies there as a directory, and is adopted */
	struct ay_repo *repo; /* the publisher's, with serial 3 of "b": to heal from */
	struct blob blobs[WORLD_BLOBS];
	struct ay_buf offers[4]; /* envelopes, of the first four blobs */
	struct ay_buf root2;
	uint8_t heads[WORLD_SERIALS][AY_HEAD_SIZE];
	struct ay_digest release[WORLD_SERIALS], offer[4];
};

/** world_make() - in a directory of kit's choice. Ends the program when it cannot. */
void world_make(struct world *w);
void world_free(struct world *w);

#endif
