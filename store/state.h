/* SPDX-License-Identifier: MIT */
/*
 * store/state.h - the few facts that must survive: roots, floors, heads, bad serials, install-id, documents.
 *
 * Each is a small file replaced by write, fsync, rename, fsync of the directory,
 * so that it is the old or the new one after any power cut.
 */
#ifndef AYNI_STORE_STATE_H
#define AYNI_STORE_STATE_H

#include "store/store.h"

/**
 * ay_state_root() - the newest root, verified along its whole chain; owned by @s, valid until the next add.
 *
 * Return: 0; -ENOENT none is trusted yet; AY_ESTORE a kept root was changed: never go on without it.
 */
int ay_state_root(struct ay_store *s, const struct ay_root **root, struct ay_err *err);
/** ay_state_root_envelope() - root version @version (0: newest) as bytes; free(*@data). */
int ay_state_root_envelope(struct ay_store *s, uint32_t version, uint8_t **data, size_t *len,
			   struct ay_err *err);
/**
 * ay_state_add_root() - trust a first root (only when there is none) or the successor; durable.
 * Errors of ay_trust_first_root() and ay_trust_next_root(); AY_ENOTHING it is there already.
 */
int ay_state_add_root(struct ay_store *s, const void *envelope, size_t len, struct ay_err *err);

#define AY_PINS_MAX 16 /* per list; each holds a whole tree */

/* Serials that the owner named, ascending. */
struct ay_pins {
	unsigned n;
	uint32_t serial[AY_PINS_MAX];
};

/* What a branch remembers. How a switch stands is read through store/turn.h, which knows what was interrupted. */
struct ay_branch_state {
	char branch[AY_BRANCH_NAME_MAX + 1];
	bool follow;         /* this node wants this branch */
	uint32_t floor;      /* no serial below is installed without rollback */
	uint32_t bad_serial; /* not taken again; 0: none */
	bool has_head;
	uint8_t head[AY_HEAD_SIZE]; /* newest verified head */
	uint32_t pending;           /* is to become current; 0: none */
	uint32_t unconfirmed;       /* switched to, not yet found good; 0: none */
	uint32_t tries;             /* that it has left */
	uint32_t good, before;      /* the last two that were found good; 0: not known */
	struct ay_pins pinned, kept;
};

/** ay_state_branch() - what is kept, zeros when nothing is; AY_ESTORE when it is damaged. */
int ay_state_branch(struct ay_store *s, const char *branch, struct ay_branch_state *out, struct ay_err *err);
/**
 * ay_state_change_branch() - read, @change and write in one, so that no other process's change is lost; durable.
 * Refuses to lower the floor (AY_EROLLBACK); the newer of the changed head and the kept one stays.
 * @change: gets what ay_state_branch() would tell. 0: write it; above 0: nothing to write; below: its error, passed on.
 *   It must not change any state itself (the lock is held).
 *
 * Return: 0, also when nothing was to be written; @change's error; AY_EROLLBACK, AY_EUSAGE no branch name, AY_ESTORE
 *   what is kept is damaged, -EROFS; -errno.
 */
int ay_state_change_branch(struct ay_store *s, const char *branch,
			   int (*change)(void *ctx, struct ay_branch_state *b, struct ay_err *err), void *ctx,
			   struct ay_err *err);
/** ay_state_branches() - every branch remembered; free(*@out). */
int ay_state_branches(struct ay_store *s, struct ay_branch_state **out, size_t *n, struct ay_err *err);

/** ay_state_install_id() - 16 random bytes, made once. Never goes on the air. */
int ay_state_install_id(struct ay_store *s, uint8_t id[16], struct ay_err *err);

enum ay_doc_kind { AY_DOC_RELEASE, AY_DOC_OFFER };

/** ay_state_put_doc() - keep an envelope under its digest; durable; there already is success. */
int ay_state_put_doc(struct ay_store *s, enum ay_doc_kind kind, const void *data, size_t len,
		     struct ay_err *err);
/** ay_state_get_doc() - free(*@data); -ENOENT when not here; AY_EDIGEST when damaged. */
int ay_state_get_doc(struct ay_store *s, enum ay_doc_kind kind, const struct ay_digest *digest,
		     uint8_t **data, size_t *len, struct ay_err *err);
/** ay_state_each_doc() - call @each (which may drop documents) for every document of a kind; damaged ones are left out. */
int ay_state_each_doc(struct ay_store *s, enum ay_doc_kind kind,
		      int (*each)(void *ctx, const struct ay_digest *d, const uint8_t *data, size_t len),
		      void *ctx, struct ay_err *err);
/** ay_state_drop_doc() - forget it; not there is success. */
int ay_state_drop_doc(struct ay_store *s, enum ay_doc_kind kind, const struct ay_digest *digest,
		      struct ay_err *err);

#endif
