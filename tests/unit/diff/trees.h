/* SPDX-License-Identifier: MIT */
/* Trees in memory for the tests of diff/: made, bundled, applied, compared. */
#ifndef AYNI_TESTS_UNIT_DIFF_TREES_H
#define AYNI_TESTS_UNIT_DIFF_TREES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/prng.h"
#include "diff/bundle_format.h"
#include "diff/make.h"

#define FILES_MAX 512

struct tree_file {
	char *path;
	uint8_t *data;
	size_t len;
	struct ay_digest digest;
};

struct tree {
	struct tree_file files[FILES_MAX];
	size_t n;
	struct ay_buf manifest;
	struct ay_digest digest;
	bool changed;        /* open() gives other bytes than the manifest says */
	unsigned good_opens; /* but not yet the first so many times */
};

struct tree *tree_new(void);
void tree_free(struct tree *t);
/** tree_add() - copies @data; a file of this path is replaced. */
void tree_add(struct tree *t, const char *path, const void *data, size_t len);
void tree_add_text(struct tree *t, const char *path, const char *text);
/** tree_seal() - sort, make the manifest. */
void tree_seal(struct tree *t);
struct ay_make_tree tree_make(struct tree *t);

/** bytes_random() - @len bytes without structure. Free them. */
uint8_t *bytes_random(struct ay_prng *r, size_t len);
/** bytes_code() - @len bytes that look like a program: repeated words with small numbers between. */
uint8_t *bytes_code(struct ay_prng *r, size_t len);
/** bytes_edit() - a copy of @data with @n random edits: bytes changed, ranges inserted, deleted, moved. */
uint8_t *bytes_edit(struct ay_prng *r, const uint8_t *data, size_t len, unsigned n, size_t *new_len);

/** bundle_make() - into a new memfd; fails the test when it fails. @old may be NULL. */
int bundle_make(struct tree *old, struct tree *new_, const struct ay_make_options *o,
		struct ay_make_result *res);
/** bundle_fd() - these bytes as a memfd. */
int bundle_fd(const void *data, size_t len);
/** bundle_bytes() - a memfd's bytes. */
struct ay_buf bundle_bytes(int fd);
/** bundle_fix_checks() - make the checks of damaged bundle bytes fit again, as far as its sections can be followed. */
void bundle_fix_checks(uint8_t *data, size_t len);

/* What an application saw. */
struct applied {
	uint64_t records, bytes;
	size_t largest_call;
	struct ay_buf delta;
	uint64_t scratched; /* bytes of the largest temporary file */
	bool no_scratch;    /* in: there are no temporary files */
	bool skip_odd;      /* in: skip every second record */
	bool no_old;        /* in: the old manifest is not at hand */
	bool no_bases;      /* in: base() has none */
	bool short_bases;   /* in: bases are cut by one byte */
	bool wrong_bases;   /* in: one byte of each base is another */
};

/**
 * bundle_apply() - read @fd over @old (may be NULL). Each finished record must be a file of @new_, bit for bit (NULL:
 * not compared), else the test fails. Returns the reader's code.
 */
int bundle_apply(int fd, struct tree *old, struct tree *new_, const struct ay_bundle_limits *limits,
		 struct applied *a, struct ay_err *err);

/** bundle_complete() - apply, and every new content of @new_ must have come. */
void bundle_complete(int fd, struct tree *old, struct tree *new_, const struct ay_bundle_limits *limits);

#endif
