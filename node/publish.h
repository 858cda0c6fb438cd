/* SPDX-License-Identifier: MIT */
/*
 * node/publish.h - a directory becomes the next release of a branch, in a repository.
 */
#ifndef AYNI_NODE_PUBLISH_H
#define AYNI_NODE_PUBLISH_H

#include "manifest/carry.h"
#include "manifest/head.h"
#include "manifest/release.h"
#include "manifest/root.h"

#define AY_FULL_EVERY 8 /* serials divisible by this get a bundle from nothing too */

/* Which bundles a release gets besides the one from the release before it. */
enum ay_publish_full {
	AY_FULL_AUTO, /* from nothing: the first release, the first of a root, and serials divisible by AY_FULL_EVERY */
	AY_FULL_YES,
	AY_FULL_NO, /* only where there is no other way to the release */
};

struct ay_publish {
	const char *repo, *branch, *tree;
	const char *root; /* a root's file to put into the repository first; may be NULL */
	const struct ay_secret_key
		*keys;            /* at most AY_SIGNATURES_MAX; those with role release sign releases and */
	unsigned n_keys;          /* offers, the first with role head the head */
	const char *name, *notes; /* may be NULL */
	uint32_t min_serial;
	uint8_t rollout; /* percent */
	enum ay_publish_full full;
	bool owner_root;   /* write every owner as 0:0 */
	bool again;        /* publish although nothing changed */
	bool exact_mtimes; /* do not carry the last release's times over */
	bool read_all;     /* believe no cache: read every file */
	bool fast;         /* bundles that are made quickly and are larger */
	unsigned threads;
	uint64_t memory;       /* for diffing; 0: half of the machine */
	uint64_t apply_memory; /* that applying a bundle may need; 0: as ay_bundle_make() */
	uint64_t now_s;        /* the release's date */
};

struct ay_published {
	struct ay_release release;
	struct ay_head head;
	struct ay_carried carried;
	uint64_t read_files, read_bytes; /* what the scan read; the rest it knew */
	unsigned n_bundles;
	struct {
		uint32_t from; /* serial; 0: from nothing */
		uint64_t size, memory;
	} bundles[3];
};

/**
 * ay_publish() - scan, carry times over, make bundles, sign, and write the head last.
 *
 * Until the head is written nobody can see that anything happened; a run that was cut off
 * leaves unreferenced files. The next one removes what the publisher's store kept of it, and takes another serial if a
 * release had been signed and written.
 *
 * Return: 0; AY_ENOTHING the tree is what the branch's newest release is; AY_EROLE the keys may not sign this
 *   (laptops would refuse it); AY_EBUSY another publisher is at work; errors of scanning and writing.
 */
int ay_publish(const struct ay_publish *p, struct ay_published *out, struct ay_err *err);

#endif
