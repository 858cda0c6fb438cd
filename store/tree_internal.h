/* SPDX-License-Identifier: MIT */
/*
 * store/tree_internal.h - inside store/: branches and trees as directories, and the building of a new one.
 */
#ifndef AYNI_STORE_TREE_INTERNAL_H
#define AYNI_STORE_TREE_INTERNAL_H

#include "store/crew.h"
#include "store/losses.h"
#include "store/object.h"
#include "store/staging.h"

#define AY__SERIAL_NAME_MAX 11 /* ten digits and NUL */

/** ay__branch_open() - the branch's directory; @create: make it. -ENOENT without. Return: fd or negative. */
int ay__branch_open(struct ay_store *s, const char *branch, bool create, struct ay_err *err);
/** ay__branch_lock() - the lock file @name (".apply", ".switch") of a branch. Return: fd that holds it, -EWOULDBLOCK,
 * ... */
int ay__branch_lock(struct ay_store *s, int branch_dir, const char *name, int op, struct ay_err *err);
/**
 * ay__branch_lock_switch() - open a branch to change what is current: its directory to *@dir, which the caller closes in
 * any case, and ".switch" held exclusive. -EROFS, -ENOENT, -errno. Return: fd that holds the lock.
 */
int ay__branch_lock_switch(struct ay_store *s, const char *branch, int *dir, struct ay_err *err);
void ay__serial_name(uint32_t serial, char out[AY__SERIAL_NAME_MAX]);
/** ay__serial_parse() - a directory's name as serial: decimal, from 1, one form only. */
bool ay__serial_parse(const char *name, uint32_t *serial);
/** ay__branch_current() - what `current` in @branch_dir names. 0; AY_ENOTHING there is none; AY_ESTORE. */
int ay__branch_current(struct ay_store *s, int branch_dir, const char *branch, uint32_t *serial,
		       struct ay_err *err);
/** ay__branch_current_or_0() - the same; 0 in @serial and success when there is none. */
int ay__branch_current_or_0(struct ay_store *s, int branch_dir, const char *branch, uint32_t *serial,
			    struct ay_err *err);
/** ay__release_read() - the release in tree directory @tree, its form only: it was verified when it came in. */
int ay__release_read(int tree, struct ay_release *out, struct ay_digest *digest, struct ay_err *err);
/** ay__write_file() - a new file with mode 0644, not synced: for what a syncfs follows. 0 or -errno. */
int ay__write_file(struct ay_fs *fs, int dirfd, const char *name, const void *data, size_t len);

/**
 * ay__tree_aside() - move tree @serial of the branch @dir into a new staging directory @st, durably; the caller ends that
 * (store/gc.c), whereby it is deleted, or left to a later sweep while somebody uses it. 0 or -errno.
 */
int ay__tree_aside(struct ay_store *s, int dir, const char *branch, uint32_t serial, struct ay__staging *st,
		   struct ay_err *err);

/* ---- building (store/build.c): what apply and import have in common ---- */

struct ay__build {
	struct ay_store *s;
	const char *branch;   /* borrowed */
	int branch_dir, lock; /* lock: .apply */
	struct ay__staging st;
	int raw, new_, tree; /* directories in staging; tree/manifest is written by the caller */
	int buckets; /* -1, or a directory in staging with objects as objects/ has them: "ab/cdef….variant" */
	bool borrowed;                     /* some inodes in buckets are a source's as well */
	const struct ay_branch_rule *rule; /* NULL: no limits; borrowed from the store's root */
	struct ay_release release;
	const void *envelope;
	size_t envelope_len;
	struct ay__touched touched;
	struct ay__crew *crew; /* NULL: one thread does all */
	bool locked;           /* the store's lock is held shared */
	int like; /* -1, or the root of the tree before, which .apply keeps (store/tree_alike.c) */
	struct ay_losses losses; /* in an owner=me store: of the entries checked so far */
};

/**
 * ay__build_begin() - believe the release, look at the floor, lock the branch, prepare staging.
 * @envelope: borrowed until ay__build_end().
 *
 * Return: 0; AY_ENOTHING the tree is there; AY_EBUSY; AY_EROLLBACK; what ay_trust_release() says; -errno.
 * In every case call ay__build_end().
 */
int ay__build_begin(struct ay__build *b, struct ay_store *s, const char *branch, const void *envelope,
		    size_t envelope_len, struct ay_err *err);
/**
 * ay__build_begin_unsigned() - the same before there is a release: who makes it out of what is on the disk.
 * The branch's limits are known. ay__build_sign() must follow before ay__build_commit().
 */
int ay__build_begin_unsigned(struct ay__build *b, struct ay_store *s, const char *branch, struct ay_err *err);
/** ay__build_sign() - here is the release; borrowed as in ay__build_begin(), with its errors. */
int ay__build_sign(struct ay__build *b, const void *envelope, size_t envelope_len, struct ay_err *err);
/**
 * ay__build_check_entry() - the branch's limits, and what this store cannot keep. 0, AY_EROLE, AY_EFORMAT.
 * To be asked of every entry of the new tree, before anything is staged; then ay__build_tell_losses().
 */
int ay__build_check_entry(struct ay__build *b, const struct ay_entry *e, struct ay_err *err);
void ay__build_tell_losses(struct ay__build *b);
/** ay__build_has() - is the object @name staged in new/? 1, 0, -errno. */
int ay__build_has(const struct ay__build *b, const struct ay__object_name *name, struct ay_err *err);
/**
 * ay__build_stage() - stage the object @name of @e in new/ as a copy of @from_fd, its content checked.
 * Return: 0; AY_EDIGEST; -errno.
 */
int ay__build_stage(struct ay__build *b, const struct ay_entry *e, const struct ay__object_name *name,
		    int from_fd, struct ay_err *err);
/** ay__build_stage_link() - stage an existing inode (@from in @dirfd) with its right metadata. */
int ay__build_stage_link(struct ay__build *b, const struct ay__object_name *name, int dirfd, const char *from,
			 struct ay_err *err);
/**
 * ay__build_commit() - the durable commit, from the first syncfs to the last fsync, of new/ and tree/manifest.
 * On failure nothing of it stays in the branch.
 */
int ay__build_commit(struct ay__build *b, struct ay_err *err);
void ay__build_end(struct ay__build *b);

/* How a tree is made out of a manifest: all but files is made here, those by @file as @name in the open directory @dir. */
struct ay__tree_maker {
	struct ay_store *s; /* whose rules about what can be kept count */
	int manifest;       /* read from offset 0 */
	int into;           /* the directory that gets the tree */
	const char *name;   /* as which; it is not there yet */
	/* With a crew it is called by several threads at once. */
	int (*file)(void *ctx, int dir, const char *name, const struct ay_entry *e, struct ay_err *err);
	void *ctx;
	struct ay__crew *crew;
	const int *
		like; /* the root of a tree that stays meanwhile: symlinks that are the same there are linked; NULL: none */
};
int ay__tree_make(const struct ay__tree_maker *maker, struct ay_err *err);
/** ay__tree_link() - make tree/root out of tree/manifest and the objects (store/tree.c). */
int ay__tree_link(struct ay__build *b, struct ay_err *err);
/**
 * ay__make_special() - make the symbolic link, device or fifo @e as @name in @dir, with its metadata; nothing
 * when this store does not keep such (ay__entry_kept()). 0 or -errno.
 */
int ay__make_special(struct ay_store *s, int dir, const char *name, const struct ay_entry *e,
		     struct ay_err *err);

/** ay__alike_begin() - the tree @serial of the branch is to be looked into; if it cannot be opened, all is made. */
void ay__alike_begin(struct ay__build *b, uint32_t serial);
/** ay__alike_open() - the directory in which @e would be in the tree at @root: an O_PATH fd, or -errno. */
int ay__alike_open(int root, const struct ay_entry *e);
/**
 * ay__alike_link() - link @name of the directory @like into @dir, if it is the symbolic link @e to the last byte.
 *
 * Return: 1: @name is there. 0: it is not, and is to be made. -errno: something else is there, and cannot be removed.
 */
int ay__alike_link(struct ay_store *s, int like, int dir, const char *name, const struct ay_entry *e,
		   struct ay_err *err);

#endif
