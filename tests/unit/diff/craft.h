/* SPDX-License-Identifier: MIT */
/* Bundles made by hand, with checks that fit, for the tests of the reader's rules. */
#ifndef AYNI_TESTS_UNIT_DIFF_CRAFT_H
#define AYNI_TESTS_UNIT_DIFF_CRAFT_H

#include "tests/unit/diff/trees.h"

/* A bundle whose parts' streams are stored as they are. */
struct craft {
	uint8_t version, codec; /* 0: as it should be */
	uint64_t unpacked;
	uint32_t n_records, n_parts, part_limit, flags;
	uint64_t delta_size, extra, scratch, zero64;
	uint32_t encoders, map_size; /* 0: that of .map */
	struct ay_buf map;
	struct ay_buf col[AY_STREAMS];  /* of the one part */
	struct ay_buf more[AY_STREAMS]; /* of a second one */
	struct ay_buf delta, behind;
};

/* The one file of the tree that it starts from, /base. */
extern const uint8_t base_bytes[];
#define BASE_LEN 44ull

struct ay_buf craft_bytes(struct craft *c);
void craft_release(struct craft *c);
void put_digest(struct ay_buf *b, const void *data, size_t len);
/**
 * craft_good() - one literal record "hello", and one that copies "brown fox" from the base with its 'f' made a 'b' and "!"
 * behind: two copies, one extra.
 */
void craft_good(struct craft *c);
struct tree *craft_tree(void);
int craft_read(struct craft *c, const struct ay_bundle_limits *limits, struct ay_err *err);
/** refused() - the crafted bundle must be refused with @code and a message that has @word. Releases @c. */
void refused(struct craft *c, int code, const char *word);

#endif
