/* SPDX-License-Identifier: MIT */
/*
 * A regular file of a tree. In the common case one stat(2) tells all: it is the
 * inode of its object, and that was read already. Another inode is read by itself: a good one
 * stands there lawfully when its object had as many links as the file system allows
 * (store/spill.h), or was healed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/fsck_internal.h"
#include "store/spill.h"

enum verdict {
	FINE,
	MISSING,    /* the path */
	NO_FILE,    /* something else has the name */
	DAMAGED,    /* it links its object, and that is not good */
	NOT_ITS,    /* another inode, and not good */
	NO_OBJECT,  /* the path is good; its object is missing or damaged */
	UNREADABLE, /* not allowed to be read */
};

static uint64_t key_of(const struct ay_entry *e, const uint8_t v[AY__VARIANT_LEN])
{
	uint64_t a, b;

	memcpy(&a, e->digest.b, sizeof(a));
	memcpy(&b, v, sizeof(b));
	return a ^ b * 3;
}

/* Is the inode, which is not its object's, good for @e? */
static bool other_is_good(struct ay__fsck *k, int dir, const char *name, const struct stat *st,
			  const struct ay_entry *e, const uint8_t v[AY__VARIANT_LEN])
{
	uint64_t key = key_of(e, v);
	size_t slot = (st->st_ino ^ key) % (sizeof(k->seen) / sizeof(k->seen[0]));

	if (k->seen[slot].ino == st->st_ino && k->seen[slot].key == key)
		return k->seen[slot].good;
	AY_CLOSE int fd = ay__open_beneath(dir, name, O_RDONLY | O_NONBLOCK);
	if (ay__fsck_lack(k, fd))
		return false;
	int good = fd >= 0 ? ay__fsck_inode_is(k, fd, e, true) : 0;
	if (ay__fsck_lack(k, good))
		return false;
	k->seen[slot].ino = st->st_ino;
	k->seen[slot].key = key;
	k->seen[slot].good = good > 0;
	return good > 0;
}

/* An object that came after the rows were read: looked at for itself. */
static bool late_object(struct ay__fsck *k, const struct ay__object_name *name, const struct ay_entry *e,
			const struct stat *st)
{
	struct stat own;
	AY_CLOSE int fd = ay__open_beneath(k->s->objects, name->s, O_RDONLY | O_NONBLOCK);

	if (ay__fsck_lack(k, fd) || fd < 0 || fstat(fd, &own) < 0 || own.st_ino != st->st_ino)
		return false;
	int r = ay__fsck_inode_is(k, fd, e, true);
	return !ay__fsck_lack(k, r) && r > 0;
}

static bool row_is_good(const struct ay__fsck_row *row)
{
	return row && (row->state == AY__ROW_GOOD || row->state == AY__ROW_REMADE);
}

static enum verdict judge(struct ay__fsck *k, int dir, const char *name, const struct ay_entry *e,
			  const uint8_t v[AY__VARIANT_LEN], const struct ay__object_name *object,
			  struct ay__fsck_row *row, struct stat *st)
{
	if (dir < 0 || fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) < 0)
		return MISSING;
	if (!S_ISREG(st->st_mode))
		return NO_FILE;
	if (row && row->ino == st->st_ino) {
		return row_is_good(row) ? FINE : row->state == AY__ROW_UNKNOWN ? UNREADABLE : DAMAGED;
	}
	if (!row && late_object(k, object, e, st))
		return FINE;
	if (other_is_good(k, dir, name, st, e, v))
		return row_is_good(row) ? FINE : NO_OBJECT;
	return NOT_ITS;
}

/* ---- healing ---- */

int ay__fsck_place(struct ay__fsck *k, const char *from, int dir, const char *name)
{
	struct ay_fs *fs = k->s->fs;
	char aside[17];
	int r = fs->ops->rename(fs, k->st.dir, from, dir, name, false);

	/* A directory is in the way of a file, or the reverse: it goes to staging, and with it away. */
	if (r == -EISDIR || r == -ENOTDIR || r == -ENOTEMPTY || r == -EEXIST) {
		ay__random_name(aside);
		if ((r = fs->ops->rename(fs, dir, name, k->st.dir, aside, true)) == 0)
			r = fs->ops->rename(fs, k->st.dir, from, dir, name, false);
	}
	return r;
}

/* The good object of @e, linked in the path's place. 0; AY_EBASE, -ENOENT: there is none. */
static int relink(struct ay__fsck_tree *t, int dir, const char *name, const struct ay_entry *e,
		  struct ay_err *err)
{
	struct ay__fsck *k = t->k;
	char tmp[17];

	ay__random_name(tmp);
	int r = ay__store_lock(k->s, LOCK_SH, err);
	if (r < 0)
		return r;
	r = ay__object_link(k->s, e, k->st.dir, tmp, k->st.dir, &k->touched, err);
	ay__store_unlock(k->s);
	if (r < 0)
		return r;
	r = ay__fsck_place(k, tmp, dir, name);
	return r < 0 ? ay_err_errno(err, -r, "%s: cannot replace it", e->path) : 0;
}

/* The tree has the file still: its inode gets the object's name back. */
static int give_name(struct ay__fsck_tree *t, int dir, const char *name, const struct ay__object_name *object,
		     struct ay__fsck_row *row, const struct stat *st, struct ay_err *err)
{
	struct ay__fsck *k = t->k;
	struct ay_fs *fs = k->s->fs;
	char tmp[17];

	ay__random_name(tmp);
	int r = fs->ops->link(fs, dir, name, k->st.dir, tmp);
	if (r == -EMLINK)
		return 0; /* then the object is made anew */
	if (r == 0 && (r = ay__object_replace(k->s, k->st.dir, tmp, object, &k->touched)) < 0)
		fs->ops->unlink(fs, k->st.dir, tmp, 0);
	if (r < 0)
		return ay_err_errno(err, -r, "cannot put object %s", object->s);
	if (row) {
		row->ino = st->st_ino;
		row->state = AY__ROW_REMADE;
	}
	return 1;
}

static void tell(struct ay__fsck_tree *t, const struct ay_entry *e, const struct ay__object_name *object,
		 bool done, const char *why, const char *more)
{
	ay__fsck_tell(t->k,
		      &(struct ay_fsck_finding){.what = AY_FSCK_PATH,
						.outcome = ay__fsck_outcome(t->k, done),
						.branch = t->k->branches[t->branch].name,
						.serial = t->serial,
						.path = e->path,
						.object = object->s},
		      "%s%s", why, more);
}

static void tell_object(struct ay__fsck_tree *t, const struct ay__object_name *object, bool done)
{
	ay__fsck_tell(t->k,
		      &(struct ay_fsck_finding){.what = AY_FSCK_OBJECT,
						.outcome = done ? AY_FSCK_HEALED : AY_FSCK_DAMAGED,
						.object = object->s},
		      "it is missing%s", done ? "; a tree had it still" : "");
}

/* The pass that gathers: what is needed, and names given back where a tree has the file. */
static int gather(struct ay__fsck_tree *t, int dir, const char *name, const struct ay_entry *e,
		  const struct ay__object_name *object, struct ay__fsck_row *row, enum verdict v,
		  const struct stat *st, struct ay_err *err)
{
	if (v == FINE || v == UNREADABLE)
		return 0;
	if (v == NO_OBJECT) {
		struct stat now;
		/* An earlier path of this very walk may have given it back. */
		if (!row && fstatat(t->k->s->objects, object->s, &now, AT_SYMLINK_NOFOLLOW) == 0)
			return 0;
		int r = give_name(t, dir, name, object, row, st, err);
		if (r == 1 && !row)
			tell_object(t, object, true);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	int r = ay__fsck_need_add(t->k, &e->digest, e->size);
	return r < 0 ? ay_err_errno(err, -r, "fsck") : 0;
}

static int heal(struct ay__fsck_tree *t, int dir, const char *name, const struct ay_entry *e,
		const struct ay__object_name *object, const struct ay__fsck_row *row, enum verdict v,
		const char *why, bool *changed, struct ay_err *err)
{
	struct ay_err not_here = {0};
	/* Where the path links its object, damaged as that is, the branch had the content. */
	if (v != DAMAGED && !ay__fsck_entitled(t->k, t->branch, &e->digest)) {
		tell(t, e, object, false, why,
		     "; its content is here, but from another branch, which does not share: name a repository "
		     "that has this branch (--repo)");
		return 0;
	}
	/* A look at the inode alone would not tell a rotten object from a good one. */
	int r = row && !row_is_good(row) ? AY_EBASE : relink(t, dir, name, e, &not_here);
	if (r == -ENOENT || r == AY_EBASE) {
		tell(t, e, object, false, why,
		     "; no good copy was found: name a repository that has it (--repo), or update to a newer release");
		return 0;
	}
	if (r < 0) {
		if (err)
			*err = not_here;
		return r;
	}
	*changed = true;
	tell(t, e, object, true, why, "");
	return 0;
}

/*
 * A good inode that has no name in objects/, while the object has: nothing tells the collector that the object is needed for
 * this path. So the path gets a link of the object.
 */
static int take_in(struct ay__fsck_tree *t, int dir, const char *name, const struct ay_entry *e,
		   const struct ay__object_name *object, const struct stat *st, bool *changed,
		   struct ay_err *err)
{
	struct ay__fsck *k = t->k;
	struct stat own;

	if (fstatat(k->s->objects, object->s, &own, AT_SYMLINK_NOFOLLOW) < 0 || own.st_ino == st->st_ino ||
	    ay__spill_has(k->s, object, st->st_ino))
		return 0;
	int r = relink(t, dir, name, e, err);
	*changed |= r == 0;
	return r == AY_EBASE || r == -ENOENT ? 0 : r;
}

int ay__fsck_file(struct ay__fsck_tree *t, int dir, const char *name, const struct ay_entry *e, bool *changed,
		  struct ay_err *err)
{
	static const char *const words[] = {
		[MISSING] = "is missing",
		[NO_FILE] = "is not a regular file",
		[DAMAGED] = "links a damaged object",
		[NOT_ITS] = "was changed: it is neither its object nor as good",
	};
	struct ay__fsck *k = t->k;
	struct ay__local_entry local;
	struct ay__object_name object;
	uint8_t variant[AY__VARIANT_LEN];
	struct stat st;

	ay__entry_localise(k->s, e, &local);
	int r = ay__object_variant(&local.e, variant);
	if (r < 0)
		return ay_err_errno(err, -r, "%s", e->path);
	ay__object_name(&e->digest, variant, &object);
	struct ay__fsck_row *row = ay__fsck_row(k, &e->digest, variant);
	enum verdict v = judge(k, dir, name, &local.e, variant, &object, row, &st);
	if (k->failed)
		return ay_err_errno(err, -k->failed, "%s", e->path);
	if (row)
		row->named = 1;
	if (k->collect)
		return gather(t, dir, name, e, &object, row, v, &st, err);
	if (k->heal && (v == FINE || v == NO_OBJECT) && !(row && row->ino == st.st_ino) &&
	    (!row || row_is_good(row)))
		return take_in(t, dir, name, e, &object, &st, changed, err);
	if (v == FINE || v == UNREADABLE)
		return 0;
	if (v == NO_OBJECT) {
		if (!row && !k->heal)
			tell_object(t, &object, false);
		return 0;
	}
	if (k->heal) {
		/* The object was made anew a moment ago; what the path links is what it was before. */
		bool old = v == NOT_ITS && row && row->state == AY__ROW_REMADE;
		return heal(t, dir, name, e, &object, row, v, old ? "linked the damaged object" : words[v],
			    changed, err);
	}
	tell(t, e, &object, false, words[v], !row ? "; its object is missing too" : "");
	return 0;
}
