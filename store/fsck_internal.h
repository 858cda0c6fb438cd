/* SPDX-License-Identifier: MIT */
/* store/fsck_internal.h - what the files store/fsck*.c share; nothing else includes it. */
#ifndef AYNI_STORE_FSCK_INTERNAL_H
#define AYNI_STORE_FSCK_INTERNAL_H

#include "store/fsck.h"
#include "store/tree_internal.h"

#define AY__FSCK_NEEDS_MAX    (1u << 20) /* contents healed in one run: 64 MiB of memory */
#define AY__FSCK_BRANCHES_MAX 64         /* told apart; all beyond count as one that shares nothing */

enum ay__row_state {
	AY__ROW_GOOD,
	AY__ROW_META,    /* the content is good, mode, owner, mtime or xattrs are not */
	AY__ROW_BAD,     /* the content is not */
	AY__ROW_UNREAD,  /* it could not be read: a bad disk */
	AY__ROW_REMADE,  /* a good copy has its name now; trees may still link the old inode */
	AY__ROW_UNKNOWN, /* not allowed to read it: neither good nor bad */
};

/* An object, 40 bytes. Rows are sorted by digest, then variant, once all are there. */
struct ay__fsck_row {
	uint8_t digest[16]; /* the first half: no two contents share it */
	uint8_t variant[AY__VARIANT_LEN];
	uint64_t ino;
	uint32_t links; /* at the time of looking; UINT32_MAX: so many or more */
	uint8_t state;
	uint8_t named; /* a tree names it */
};

/* A content that a tree needs and that is not (surely) here. */
struct ay__fsck_need {
	struct ay_digest digest;
	uint64_t size;
	uint64_t named, linked, from; /* by which branches: a bit each. from: its own bundles gave it */
};

struct ay__fsck_branch {
	char name[AY_BRANCH_NAME_MAX + 1];
	bool shares;
};

struct ay__fsck {
	struct ay_store *s;
	const struct ay_fsck *f;
	struct ay_fsck_result *res;
	const struct ay_root *root; /* NULL: none is trusted, or the first is damaged */
	bool root_lost; /* the newest cannot be read: what seems signed by nobody may well be signed */
	struct ay__fsck_row *rows;
	size_t n_rows;
	uint64_t total_bytes; /* to read, for the bar */
	struct ay__fsck_branch *branches;
	size_t n_branches;
	/* healing */
	bool collect; /* this pass over the trees only gathers needs and tells nothing */
	bool heal;    /* this pass makes good */
	struct ay__fsck_need *needs;
	size_t n_needs, cap_needs;
	bool needs_sorted, needs_full;
	struct ay__staging st;
	struct ay__touched touched;
	int failed; /* we lack files or memory: what could not be looked at is not for that reason damaged */
	/* Other inodes than their objects' that were looked at: a content with 65,000 links is hashed once. */
	struct {
		uint64_t ino, key;
		bool good;
	} seen[512];
};

/* One tree in hand. */
struct ay__fsck_tree {
	struct ay__fsck *k;
	size_t branch; /* index in k->branches */
	uint32_t serial;
	int dir, manifest; /* the tree's directory; its manifest, checked */
	struct ay_release release;
};

/* ---- fsck_tell.c ---- */

/** ay__fsck_lack() - is @r, of looking at something, a failure of ours, that says nothing about the store? Remembers it. */
bool ay__fsck_lack(struct ay__fsck *k, int r);

/** ay__fsck_tell() - count and pass on a finding; printf style. */
void ay__fsck_tell(struct ay__fsck *k, const struct ay_fsck_finding *f, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** ay__fsck_outcome() - of something that is healed (@done) or not in this pass. */
enum ay_fsck_outcome ay__fsck_outcome(const struct ay__fsck *k, bool done);

/* ---- fsck_objects.c ---- */

/** ay__fsck_objects() - look at every object; fills and sorts the rows. */
int ay__fsck_objects(struct ay__fsck *k, struct ay_err *err);
/** ay__fsck_row() - the row of entry @e's object; NULL. */
struct ay__fsck_row *ay__fsck_row(const struct ay__fsck *k, const struct ay_digest *d,
				  const uint8_t v[AY__VARIANT_LEN]);
/** ay__fsck_content() - open an object of content @d that is good as content, whatever its variant. fd or -ENOENT. */
int ay__fsck_content(const struct ay__fsck *k, const struct ay_digest *d);
/* The next three say 1 it is, 0 it is not; or -errno: that could not be found out, and says nothing about it. */
/** ay__fsck_inode_is() - is the open file @fd what the localised @e says: metadata, and (@content) every byte? */
int ay__fsck_inode_is(struct ay__fsck *k, int fd, const struct ay_entry *e, bool content);
/** ay__fsck_meta_is() - metadata alone, of what cannot be opened too (@fd -1: @name in @dir). */
int ay__fsck_meta_is(const struct ay__fsck *k, int fd, int dir, const char *name, const struct stat *st,
		     const struct ay_entry *e);
/** ay__fsck_variant_is() - does the inode give the variant that its object's name has? (fsck_meta.c) */
int ay__fsck_variant_is(const struct ay__fsck *k, int fd, const struct stat *st,
			const uint8_t want[AY__VARIANT_LEN]);
/** ay__fsck_tell_objects() - what came of each damaged object, and what nothing links (removed when healing). */
int ay__fsck_tell_objects(struct ay__fsck *k, struct ay_err *err);

/* ---- fsck_spill.c ---- */

/** ay__fsck_spill() - the further inodes of objects that have too many links for one. Before the trees. */
int ay__fsck_spill(struct ay__fsck *k, struct ay_err *err);

/* ---- fsck_tree.c ---- */

/** ay__fsck_walk() - hold every path of the tree against its manifest, in the way that k->collect and k->heal say. */
int ay__fsck_walk(struct ay__fsck_tree *t, struct ay_err *err);

/* ---- fsck_file.c: one regular file of a tree ---- */

int ay__fsck_file(struct ay__fsck_tree *t, int dir, const char *name, const struct ay_entry *e, bool *changed,
		  struct ay_err *err);
/** ay__fsck_place() - move @from of staging to @name in @dir, over what is there whatever it is. 0 or -errno. */
int ay__fsck_place(struct ay__fsck *k, const char *from, int dir, const char *name);

/* ---- fsck_heal.c ---- */

int ay__fsck_need_add(struct ay__fsck *k, const struct ay_digest *d, uint64_t size);
/** ay__fsck_entitled() - may a path of branch @b get content @d that it does not link now? */
bool ay__fsck_entitled(const struct ay__fsck *k, size_t b, const struct ay_digest *d);
/** ay__fsck_acquire() - get what is needed and give objects their names again. */
int ay__fsck_acquire(struct ay__fsck *k, struct ay_err *err);

/* ---- fsck_trees.c ---- */

/** ay__fsck_each_tree() - @each for every tree whose release and manifest are good. Tells of the others (@tell). */
int ay__fsck_each_tree(struct ay__fsck *k, bool tell,
		       int (*each)(struct ay__fsck_tree *t, struct ay_err *err), struct ay_err *err);
/** ay__fsck_branches() - list the branches. */
int ay__fsck_branches(struct ay__fsck *k, struct ay_err *err);
/** ay__fsck_currents() - every branch's `current`. */
int ay__fsck_currents(struct ay__fsck *k, struct ay_err *err);

/* ---- fsck_rest.c ---- */

/** ay__fsck_roots() - the chain of roots; sets k->root. First of all, since without it nothing is believed. */
int ay__fsck_roots(struct ay__fsck *k, struct ay_err *err);
/** ay__fsck_rest() - states, documents, bundles, leftovers. */
int ay__fsck_rest(struct ay__fsck *k, struct ay_err *err);

#endif
