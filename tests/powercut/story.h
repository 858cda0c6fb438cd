/* SPDX-License-Identifier: MIT */
/*
 * tests/powercut/story.h - a laptop's life with one store, told on a disk that remembers.
 *
 * Made, first bundle collected in parts, applied, switched to; heads, floors, roots, documents; further updates; a tree of
 * another branch; back, and forth again; collected. Each step says beforehand what may change and afterwards what
 * has (tests/powercut/promise.h). Beside it another process writes and syncs files that are not the store's, at
 * random, so that the file system's own commits fall where they like.
 */
#ifndef AYNI_TESTS_POWERCUT_STORY_H
#define AYNI_TESTS_POWERCUT_STORY_H

#include "tests/powercut/blocklog.h"
#include "tests/powercut/seam.h"
#include "tests/powercut/world.h"

/* How it is told. */
struct manner {
	bool noise;    /* another process writes, syncs and starts write-back */
	unsigned odds; /* of a commit of the file system after a change of the store's, 1 to this; 0: none */
	bool aimed; /* from the left-out sync to the end of its phase one change in four is followed by a commit */
	bool killed; /* some steps are done twice: whoever does it first is killed before his last sync */
	unsigned threads; /* that make and remove names */
};

/** story_store_path() - where in the mounted file system the store is. */
void story_store_path(const char *mounted, char *out, size_t len);

/**
 * story_tell() - live through it once.
 * @mounted: the empty file system. @manner: with several threads a seed draws the same life, but not the same order
 * of its names. @m: the seam, with what is to be left out, and where marks go.
 * @seed: draws the order of what has none, and the pauses.
 *
 * Return: 0, or the failure of the store's (@err): a story on a disk that works must come to its end.
 */
int story_tell(const struct world *w, const char *mounted, const struct manner *manner, struct seam *m,
	       uint64_t seed, struct ay_err *err);

/**
 * story_go_on() - whatever a power cut left: go on to the newest release, and collect. 0, or what failed.
 * After it facts_of() must find no "bad", current:b 3, and no damage that was not there before.
 * story_heal_all() - then, after which there is no damage at all.
 */
int story_go_on(const struct world *w, const char *mounted, struct ay_err *err);
int story_heal_all(const struct world *w, const char *mounted, struct ay_err *err);

/** noise_start() - the other process, until noise_stop(). */
int noise_start(const char *mounted, uint64_t seed);
void noise_stop(int pid);

#endif
