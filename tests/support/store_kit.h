/* SPDX-License-Identifier: MIT */
/*
 * tests/support/store_kit.h - a publisher and his trees, for tests of the store.
 *
 * Everything lives in one temporary directory: in AYNI_KIT_DIR, else in memory (/dev/shm), else in TMPDIR. Functions that cannot do their part
 * end the program with a sentence: a test that needs them makes no sense then.
 */
#ifndef AYNI_TESTS_SUPPORT_STORE_KIT_H
#define AYNI_TESTS_SUPPORT_STORE_KIT_H

#include "base/bytes.h"
#include "manifest/release.h"
#include "manifest/sign.h"
#include "store/scan.h"
#include "store/store.h"

struct kit {
	char dir[256]; /* absolute */
	int fd;
	struct ay_secret_key key; /* holds all roles */
	struct ay_public_key public_key;
	struct ay_buf root;     /* the first root's envelope */
	uint64_t bundle_memory; /* that applying kit_bundle()'s bundles may use; 0: what 8 MiB parts need */
};

/* A tree of the publisher: what it is, and what he signed about it. */
struct kit_tree {
	char dir[32]; /* in kit.dir */
	struct ay_buf manifest, release;
	struct ay_scan_totals totals;
	uint32_t serial;
};

void kit_init(struct kit *k);
void kit_release(struct kit *k); /* removes the directory */

/* ---- making files; paths are relative to kit.dir ---- */
void kit_mkdir(struct kit *k, const char *path, unsigned mode);
void kit_write(struct kit *k, const char *path, const void *data, size_t len, unsigned mode, int64_t mtime_s);
void kit_text(struct kit *k, const char *path, const char *text, unsigned mode);
/* @len bytes that depend on @seed, mostly like those of another seed's neighbour. */
void kit_noise(struct kit *k, const char *path, size_t len, uint64_t seed, unsigned mode);
void kit_symlink(struct kit *k, const char *path, const char *target);
void kit_rm(struct kit *k, const char *path);
/* Two small trees "v1" and "v2" with every kind of change between them. */
void kit_two_trees(struct kit *k);

/* ---- publishing ---- */
/* Scan kit.dir/@dir and sign it as @branch @serial. */
void kit_publish(struct kit *k, const char *dir, const char *branch, uint32_t serial, struct kit_tree *out);
void kit_tree_release(struct kit_tree *t);
/* A root with other rules for @branch, as an envelope: @rule is the text behind "branch: NAME ". */
void kit_root_with_rule(struct kit *k, const char *branch, const char *rule);
/* A bundle from @from (NULL: nothing) to @to: a file in kit.dir opened for reading, and its offer. */
int kit_bundle(struct kit *k, const struct kit_tree *from, const struct kit_tree *to, struct ay_offer *offer);

/* ---- the store ---- */
/* Open (create) kit.dir/store through @fs and trust the root. 0 or what failed. */
int kit_store(struct kit *k, struct ay_fs *fs, struct ay_store **s, struct ay_err *err);
int kit_import(struct kit *k, struct ay_store *s, const char *branch, const struct kit_tree *t,
	       struct ay_err *err);
int kit_apply(struct ay_store *s, const char *branch, const struct kit_tree *t, int bundle_fd,
	      const struct ay_offer *offer, struct ay_err *err);

/* ---- looking ---- */
/* Does branches/@branch/@serial/root in the store hold exactly @t, every byte of it? Prints what differs. */
bool kit_tree_is(struct kit *k, const char *branch_dir, uint32_t serial, const struct kit_tree *t);
unsigned kit_count(struct kit *k, const char *path); /* files below it, not directories */
bool kit_exists(struct kit *k, const char *path);
/* The object that @path of @t links, as "store/objects/...", into @out. False: no such path, or it has none. */
bool kit_object_of(struct ay_store *s, const struct kit_tree *t, const char *path, char out[200]);
unsigned kit_objects_unlinked(struct kit *k); /* objects with one link only */

#endif
