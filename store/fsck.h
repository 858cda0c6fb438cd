/* SPDX-License-Identifier: MIT */
/*
 * store/fsck.h - is everything in the store what it should be, and making it so again.
 *
 *     objects      every byte against the digest in the name, every inode's metadata against the variant
 *     trees        every path of every manifest: the very inode of its object (or another good one), directories,
 *                  links, devices with their metadata, and nothing else
 *     the rest     manifests, releases, roots, documents, states, `current`, bundles, what was left behind
 *
 * Healing replaces a damaged object by a good copy under its name and then, path by path, in every tree that links it, each
 * in one rename: a running system sees the old file or the new one, also after a power cut. Good copies come
 * from: a tree that has the file still; the same content in another variant; the bundles that are kept; repositories.
 *
 * Whose bytes: a path that is missing gets a content only if its branch had it (it links the inode elsewhere), no other
 * branch names it, a branch that names it shares (manifest/root.h), or the branch's own bundles give it.
 */
#ifndef AYNI_STORE_FSCK_H
#define AYNI_STORE_FSCK_H

#include "store/repo.h"

enum ay_fsck_what {
	AY_FSCK_OBJECT,   /* an object: content, metadata, or missing */
	AY_FSCK_PATH,     /* a path of a tree is not what the manifest says, or links a damaged object */
	AY_FSCK_TREE,     /* a tree as a whole: its manifest, release, .ref */
	AY_FSCK_CURRENT,  /* `current` of a branch */
	AY_FSCK_STATE,    /* a file of state/ or roots/ */
	AY_FSCK_DOCUMENT, /* a file of releases/ or offers/ */
	AY_FSCK_BUNDLE,   /* a bundle */
	AY_FSCK_LEFTOVER, /* what nothing needs: no damage */
};

enum ay_fsck_outcome {
	AY_FSCK_DAMAGED, /* found; nothing was tried */
	AY_FSCK_HEALED,
	AY_FSCK_LEFT,  /* could not be healed; why says what is missing */
	AY_FSCK_NOTED, /* no damage */
};

/* One finding. Strings are borrowed for the call; NULL: does not apply. Paths may have any bytes. */
struct ay_fsck_finding {
	enum ay_fsck_what what;
	enum ay_fsck_outcome outcome;
	const char *branch; /* trees, paths, current */
	uint32_t serial;    /* trees, paths */
	const char *path;   /* paths: in the tree. Others: in the store */
	const char *object; /* objects, and paths that link one: "ab/cdef….variant" */
	const char *why;
};

struct ay_fsck {
	bool heal;
	struct ay_repo *const *repos; /* where to heal from, in this order */
	size_t n_repos;
	unsigned threads;                                                       /* 0: one per core */
	void (*found)(void *ctx, const struct ay_fsck_finding *f);              /* may be NULL */
	void (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes); /* of reading; may be NULL */
	void *ctx;
};

struct ay_fsck_result {
	uint64_t objects, bytes, trees, entries, bundles; /* looked at */
	uint64_t damaged, healed, left;                   /* findings; damaged counts all but those noted */
	uint64_t leftovers, leftover_bytes;               /* objects that nothing links */
};

/**
 * ay_store_fsck() - check all of @s; with @f->heal make good what is not.
 *
 * A store opened for reading only can be checked (not healed), also on a read-only file system; a running
 * node, updates and collections may go on meanwhile. Memory: 40 bytes an object, 64 a damaged content.
 *
 * Return: 0 the check went to its end: @res->left (healing) or @res->damaged (checking) says how it stands; AY_EBUSY
 *   another process heals this store; -EROFS healing a store opened for reading; -EACCES objects/ cannot be read;
 *   -ENOSPC, -EIO, -ENOMEM: it ended early, and what was not told as healed was not changed or is as good as before.
 */
int ay_store_fsck(struct ay_store *s, const struct ay_fsck *f, struct ay_fsck_result *res,
		  struct ay_err *err);

/** ay_fsck_what_name(), ay_fsck_outcome_name() - a word for it. Static storage. */
const char *ay_fsck_what_name(enum ay_fsck_what what);
const char *ay_fsck_outcome_name(enum ay_fsck_outcome outcome);

#endif
