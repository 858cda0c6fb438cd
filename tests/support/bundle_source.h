/* SPDX-License-Identifier: MIT */
/* A bundle as its maker has it, and giving it to a collector: for tests of store/bundles.h. */
#ifndef AYNI_TESTS_SUPPORT_BUNDLE_SOURCE_H
#define AYNI_TESTS_SUPPORT_BUNDLE_SOURCE_H

#include "store/bundles.h"
#include "tests/support/place.h"

struct source {
	size_t size;
	uint8_t *data;
	struct ay_merkle *merkle;
	struct ay_digest digest;
	char hex[65], hashes[80]; /* the names of its files */
};

/** source_of() - @size bytes that depend on @seed. */
struct source source_of(uint64_t seed, size_t size);
void source_release(struct source *s);

/** blocks_had() - how many blocks of it are there. */
uint64_t blocks_had(struct ay_bundle_file *f);
struct ay_bundle_file *open_bundle(struct ay_store *s, const struct source *src, bool create);
int give_block(struct ay_bundle_file *f, const struct source *src, uint64_t i, struct ay_err *err);
int give_hash(struct ay_bundle_file *f, const struct source *src, unsigned level, uint64_t i,
	      struct ay_err *err);
int give_all_hashes(struct ay_bundle_file *f, const struct source *src, struct ay_err *err);
int give_all_blocks(struct ay_bundle_file *f, const struct source *src, struct ay_err *err);
/** complete() - collect what is missing, finish, and compare all bytes. */
void complete(struct ay_store *s, const struct source *src);

#endif
