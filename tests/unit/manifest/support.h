/* SPDX-License-Identifier: MIT */
/*
 * What the tests of manifest/ share: keys that are always the same, a fleet with its
 * root, trees drawn from a seed, and checks that any strict format must pass.
 */
#ifndef AYNI_TESTS_UNIT_MANIFEST_SUPPORT_H
#define AYNI_TESTS_UNIT_MANIFEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "base/prng.h"
#include "manifest/delta.h"
#include "manifest/trust.h"

/* Fails with the sentence when the code is another. */
#define assert_code(call, want) assert_code_(call, want, #call, &err, __FILE__, __LINE__)
void assert_code_(int got, int want, const char *call, const struct ay_err *err, const char *file, int line);

/** The secret key called @name: seed of 32 such bytes, id "key-NAME" with three zeros. */
struct ay_secret_key key_of(char name);
struct ay_public_key pub_of(char name);

/**
 * The fleet "test": root A B (threshold 2), release C D E (2), head H I (1), school S T (1). Branch "one/own" may
 * be released by C and D only; "one/small" has limits. Key T is revoked. @version is the root's.
 */
struct ay_root *fleet_root(uint32_t version);
/** The root's text, signed by the keys named in @signers. */
void seal(const void *text, size_t len, const char *signers, struct ay_buf *out);
void seal_root(const struct ay_root *root, const char *signers, struct ay_buf *out);
/** Give @role of @root the keys named, sorted, with their threshold. */
void set_role(struct ay_root *root, enum ay_role role, unsigned threshold, const char *names);

struct ay_release some_release(const char *branch, uint32_t serial);
struct ay_offer some_offer(const char *branch, bool by_school);

/** A manifest drawn from @r: up to a few hundred entries of all types. Bytes in @out, digest in @d. */
void random_tree(struct ay_prng *r, struct ay_buf *out, struct ay_digest *d);

/* Bytes that are read a few at a time, @step each; fails with -EIO at @fail_at when that is not SIZE_MAX. */
struct slow {
	const uint8_t *data;
	size_t len, at, step, fail_at;
};
struct slow slow_of(const void *data, size_t len, size_t step);
long slow_read(void *ctx, void *buf, size_t len);

/** Read the whole manifest; 0 or the first error. */
int read_manifest(const void *data, size_t len, struct ay_err *err);

/** Digest of a manifest's bytes. */
struct ay_digest digest_of(const struct ay_buf *b);

/**
 * A strict format's promise, for every truncation and every bit flip of @data: it is refused, or what was
 * read encodes to the very same bytes. @again reads and, when that went well, appends the encoding.
 */
typedef int (*again_fn)(const void *data, size_t len, struct ay_buf *out);
void assert_strict(const void *data, size_t len, again_fn again);

/** @text with the first @from replaced by @to, NUL-terminated, to be freed; fails when @from is not there. */
char *changed(const char *text, const char *from, const char *to);

#endif
