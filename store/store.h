/* SPDX-License-Identifier: MIT */
/*
 * store/store.h - where files live: one directory on one file system.
 *
 *     VERSION                          "ayni-store 1\n", and options (owner=me)
 *     objects/ab/cdef….VARIANT         content named by digest, inode metadata by variant; objects/ is 0700
 *     branches/<percent-encoded>/
 *         <serial>/root/               a hardlink tree, complete because it is here at all
 *         <serial>/.ref manifest release
 *         current -> <serial>/root     changes by one rename
 *     releases/ offers/ roots/         signed documents, named by digest (roots by version)
 *     bundles/ bundles/partial/        collected bundles (store/bundles.h)
 *     state/                           root version, floors, heads, bad serials, install-id (store/state.h)
 *     tmp/staging-<bootid>-<random>/   what is not committed
 *
 * The durable commit (DESIGN section 6), in this order: stage files in tmp/ without
 * fsync; syncfs; rename objects in; link the tree in staging; syncfs; rename the
 * tree into its branch; fsync every directory in which a name was made or moved;
 * write the new `current`, rename it over, fsync its directory. Any sync error
 * throws the staging away.
 */
#ifndef AYNI_STORE_STORE_H
#define AYNI_STORE_STORE_H

#include "base/digest.h"
#include "base/error.h"
#include "manifest/trust.h"
#include "store/fs.h"

struct ay_store;

enum ay_store_flags {
	AY_STORE_CREATE = 1, /* make the store when there is none */
	AY_STORE_OWNER_ME =
		2, /* with CREATE: owners are not kept, all files belong to the caller (recorded) */
	AY_STORE_READONLY = 4, /* no lock, no cleaning */
};

/**
 * ay_store_open() - open (or create) the store at @path.
 *
 * Throws away the staging directories of other boots and of dead processes.
 * As a plain user without AY_STORE_OWNER_ME a store cannot keep owners: refused with a
 * message that says so and names the option.
 *
 * Return: 0 and @out (close with ay_store_close()); AY_EVERSION a newer ayni's store; AY_ESTATE no store
 *   there and no CREATE; -EACCES, -EROFS, ... with path and reason.
 */
int ay_store_open(struct ay_fs *fs, const char *path, int flags, struct ay_store **out, struct ay_err *err);
void ay_store_close(struct ay_store *s);

const char *ay_store_path(const struct ay_store *s);
bool ay_store_owner_me(const struct ay_store *s);

/**
 * ay_store_set_threads() - how many threads may make and remove names at once, the caller's among them. 1: only that, as
 * ay_store_open() leaves it: then every system call has its place in one order. 0: as many as pay on this machine.
 */
void ay_store_set_threads(struct ay_store *s, unsigned threads);

/* fs-verity on objects: where the file system has it; always, or fail; never. */
enum ay_verity { AY_VERITY_AUTO, AY_VERITY_YES, AY_VERITY_NO };

/**
 * ay_store_set_verity() - from now on, for what is stored from now on; recorded in the store.
 *
 * Return: 0; AY_EUNSUPPORTED `yes`, and the file system has none: nothing was changed; -errno.
 */
int ay_store_set_verity(struct ay_store *s, enum ay_verity verity, struct ay_err *err);

/**
 * ay_store_on_losses() - who is told what an owner=me store cannot keep of a tree: once per tree, before its contents
 * are written. Whoever makes trees sets this, so that nothing is dropped in silence.
 */
struct ay_losses; /* store/losses.h */
typedef void (*ay_losses_fn)(void *ctx, const char *branch, uint32_t serial, const struct ay_losses *l);
void ay_store_on_losses(struct ay_store *s, ay_losses_fn fn, void *ctx);

/* ---- applying: diff/bundle's files become a tree (store/apply.c) ---- */

struct ay_apply {
	const char *branch;
	const void *release; /* the release's envelope; verified again against the store's own root */
	size_t release_len;
	int bundle_fd;                /* read from offset 0; a stranger's file: every output is checked */
	const struct ay_offer *offer; /* bounds: sizes, memory */
	uint64_t
		memory; /* bytes that applying may take here: several threads only where that is enough for them as well; 0: any */
	/* Progress: output bytes. Nonzero stops with that code. May be NULL; may be called in another thread. */
	int (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
	void *ctx;
};

/**
 * ay_store_apply() - make the tree branches/BRANCH/SERIAL out of the bundle, durably. Does not switch.
 *
 * Return: 0; AY_ENOTHING the tree is there already; AY_EBASE the tree that the bundle starts from is not here or
 *   an object of it was changed; AY_EROLLBACK the serial is below the floor; AY_ESIG, AY_EROLE; AY_EFORMAT,
 *   AY_EDIGEST, AY_ELIMIT a bad bundle; -ENOSPC with how much is missing; other -errno. In every failure the
 *   store is as it was before.
 */
int ay_store_apply(struct ay_store *s, const struct ay_apply *a, struct ay_err *err);

/**
 * ay_store_import() - make the tree branches/BRANCH/SERIAL by copying (reflink where possible) a directory.
 * @dirfd: the tree. @manifest: what it must be; every file is checked while it is copied.
 * @release, @release_len: its envelope (verified). The publisher keeps its last trees like this.
 * @flags: AY_IMPORT_SCANNED: the caller has scanned this very directory just now, so that a file whose object is here
 *   need not be read again to show that the directory has it.
 */
enum { AY_IMPORT_SCANNED = 1 };
int ay_store_import(struct ay_store *s, const char *branch, const void *release, size_t release_len,
		    int dirfd, const void *manifest, size_t manifest_len, int flags, struct ay_err *err);

/* ---- trees and switching (store/trees.c, store/switch.c) ---- */

struct ay_tree_info {
	uint32_t serial;
	bool current;
	struct ay_release release; /* as verified when it was committed */
	struct ay_digest release_digest;
};

/** ay_store_branches() - names of the branches; free each and the array with ay_store_names_free(). */
int ay_store_branches(struct ay_store *s, char ***names, size_t *n, struct ay_err *err);
void ay_store_names_free(char **names, size_t n);
/** ay_store_trees() - a branch's trees, ascending serial; free(*@out). */
int ay_store_trees(struct ay_store *s, const char *branch, struct ay_tree_info **out, size_t *n,
		   struct ay_err *err);
/** ay_store_current() - the serial that `current` names. AY_ENOTHING: the branch has no tree yet. */
int ay_store_current(struct ay_store *s, const char *branch, uint32_t *serial, struct ay_err *err);
/** ay_store_open_tree() - an O_PATH|O_DIRECTORY fd of branches/BRANCH/SERIAL/root; caller closes. */
int ay_store_open_tree(struct ay_store *s, const char *branch, uint32_t serial, int *fd, struct ay_err *err);
/** ay_store_manifest() - open a tree's manifest for reading; caller closes. */
int ay_store_manifest(struct ay_store *s, const char *branch, uint32_t serial, int *fd, struct ay_err *err);
/** ay_store_release() - a tree's release envelope, owned by the caller (free). */
int ay_store_release(struct ay_store *s, const char *branch, uint32_t serial, uint8_t **data, size_t *len,
		     struct ay_err *err);

/**
 * ay_store_switch() - make @serial current by one durable rename, and raise the branch's floor to it.
 * @rollback: allow a serial below the floor (the owner asked for it); the floor stays, and serials above
 *   the one rolled back to are remembered as bad until a newer one comes.
 */
int ay_store_switch(struct ay_store *s, const char *branch, uint32_t serial, bool rollback,
		    struct ay_err *err);
/**
 * ay_store_finish_switch() - go on with a switch or rollback that died between remembering its serial and the rename,
 *   if its tree is here. What only waits to become current (store/turn.h) goes on waiting. For whoever begins to work
 *   with the store.
 * @serial: what became current now; 0: there was nothing to finish, or another process switches right now.
 */
int ay_store_finish_switch(struct ay_store *s, const char *branch, uint32_t *serial, struct ay_err *err);
/** ay_store_rollback() - switch to @serial, or (0) to the newest tree below the current one. @to: which it was. */
int ay_store_rollback(struct ay_store *s, const char *branch, uint32_t serial, uint32_t *to,
		      struct ay_err *err);

/**
 * ay_store_verify() - read a tree and compare it with its manifest; @bad: number of paths that differ.
 *
 * Return: 0 when it could be read; with @bad above 0, @err's sentence names the first path and how it differs.
 *   AY_ESTORE its manifest is not the signed one; -ENOENT no such tree; what ay_scan() returns.
 */
int ay_store_verify(struct ay_store *s, const char *branch, uint32_t serial, uint64_t *bad,
		    struct ay_err *err);

/**
 * ay_store_remove_tree() - remove branches/BRANCH/SERIAL: moved aside first, then deleted with the objects that only it
 * links. While somebody uses it (store/use.h) it stays aside; who opens the store or collects after that deletes it.
 *
 * Return: 0; AY_ENOTHING it is not there; AY_EBUSY it is the current tree or otherwise needed, or its branch is busy.
 */
int ay_store_remove_tree(struct ay_store *s, const char *branch, uint32_t serial, struct ay_err *err);

struct ay_gc_result {
	unsigned trees, bundles;
	unsigned in_use; /* trees that were removed, now or earlier, and wait for their last user */
	uint64_t objects, bytes;
	int left; /* -errno: why something in tmp/ that was to go could not, and waits for the next time; 0 */
};
/**
 * ay_store_gc() - remove trees beyond the newest @keep (the current one and the one before it always stay),
 * objects that no tree links, bundles that lead nowhere, old staging. Within budgets: store/budget.h.
 */
int ay_store_gc(struct ay_store *s, unsigned keep, struct ay_gc_result *res, struct ay_err *err);

#endif
