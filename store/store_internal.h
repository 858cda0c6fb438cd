/* SPDX-License-Identifier: MIT */
/*
 * store/store_internal.h - what the files of the room store/ share; nothing outside includes it.
 *
 * Locks, all flock() on open file descriptions, so that a dead process holds none:
 *
 *     lock                      shared while objects are added and linked; exclusive in the collector's slices
 *     branches/B/.turn          exclusive: one process runs hooks and moves the branch on (AY_EBUSY; store/turn.h)
 *     branches/B/.apply         exclusive: one apply or import per branch (AY_EBUSY); the collector respects it
 *     branches/B/.switch        exclusive, waited for: `current` and the branch's state change together
 *     branches/B/SERIAL/.ref    shared: the tree is in use; who deletes it, moved aside, has it exclusive
 *     tmp/                      (the directory itself) exclusive, for a moment: whose turn it is to ask for `lock`
 *     tmp/staging-*             (the directory itself) exclusive: its maker lives
 *     state/.lock               exclusive, waited for: who reads, decides and replaces a file of state/ or roots/
 *     bundles/partial/<digest>  exclusive: one process collects it (AY_EBUSY); the collector leaves it alone
 *
 * Order when several are held: .turn, .apply, .switch, .ref, lock or state/.lock.
 *
 * Whoever can open a file can lock it. So these have mode 0600 or lie in a directory of 0700; but .ref, which others
 * are to lock: there we only ask, and never wait.
 */
#ifndef AYNI_STORE_STORE_INTERNAL_H
#define AYNI_STORE_STORE_INTERNAL_H

#include <pthread.h>

#include "store/file.h"
#include "store/store.h"

#define AY__STORE_VERSION_FILE "VERSION"

/* All fds are O_RDONLY | O_DIRECTORY (they can be synced) and held for the store's life. */
struct ay_store {
	struct ay_fs *fs;
	char *path; /* as given; for messages */
	bool owner_me, readonly;
	uint64_t reserve;           /* bytes that stay free; store/budget.h */
	pthread_mutex_t spill_lock; /* store/spill.c */
	unsigned threads;           /* ay_store_set_threads(); 0: one per core */
	enum ay_verity verity;
	bool verity_missing; /* auto: the file system has shown that it has none */
	ay_losses_fn on_losses;
	void *on_losses_ctx;
	int dir; /* the store's own directory */
	int objects, branches, tmp, state, bundles, partial, releases, offers, roots;
	int lock;             /* the file `lock`; -1 when readonly */
	struct ay_root *root; /* state.c's cache of the newest verified root, freed by ay_store_close() */
};

/* The options in VERSION. */
struct ay__store_options {
	bool owner_me;
	enum ay_verity verity;
};

#define AY__STORE_VERSION_TEXT_MAX 64

/** ay__store_version_parse() - the text of VERSION. 0; AY_EVERSION another version's; AY_ESTORE none at all. */
int ay__store_version_parse(const char *text, size_t len, struct ay__store_options *out);
/** ay__store_version_text() - the one text that says @o. */
void ay__store_version_text(const struct ay__store_options *o, char out[AY__STORE_VERSION_TEXT_MAX]);
/** ay__store_version_write() - VERSION anew, durably, from what @s has. */
int ay__store_version_write(struct ay_store *s, struct ay_err *err);

/** ay__store_writable() - 0, or -EROFS with a sentence when the store was opened AY_STORE_READONLY. */
int ay__store_writable(const struct ay_store *s, struct ay_err *err);

/**
 * ay__store_crew() - threads that make names; NULL (one does all) where only one is wanted or there is one core.
 * ay__store_removers() - the same to remove them: that is mostly waiting, for a disk that discards or reads what is to be
 * freed, so there are more than cores. To be freed with ay__crew_free().
 */
struct ay__crew;
struct ay__crew *ay__store_crew(const struct ay_store *s);
struct ay__crew *ay__store_removers(const struct ay_store *s);

/** ay__store_lock() - the store's own lock; @op LOCK_SH or LOCK_EX, waits. */
int ay__store_lock(struct ay_store *s, int op, struct ay_err *err);
void ay__store_unlock(struct ay_store *s);

/**
 * ay__store_reserve() - is there room for @bytes and @inodes (and a margin) on the store's file system?
 *
 * Return: 0; -ENOSPC with a sentence that says how much is missing, where, and what to do.
 */
int ay__store_reserve(struct ay_store *s, uint64_t bytes, uint64_t inodes, struct ay_err *err);

#endif
