/* SPDX-License-Identifier: MIT */
/*
 * Is an inode what an entry, or an object's name, says of it: mode, owner, time, attributes, and the bytes.
 */
#include <string.h>

#include "base/cleanup.h"
#include "store/fsck_internal.h"
#include "store/xattr.h"

/* The attributes that belong to a tree and that this store keeps. AY_ELIMIT, AY_EBUSY: no tree has such. */
static int attributes(const struct ay__fsck *k, int fd, int dir, const char *name, unsigned flags,
		      struct ay_xattr **out, size_t *kept)
{
	struct ay_xattr *x;
	size_t n = 0;
	int r = ay__xattrs_read(fd, dir, name, flags, out, &n, NULL);

	*kept = 0;
	x = *out;
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (!k->s->owner_me || strncmp(x[i].name, "user.", 5) == 0)
			x[(*kept)++] = x[i];
	}
	return r;
}

/* Of what could not be read nothing is known. */
static int answer(int r)
{
	return r == AY_ELIMIT || r == AY_EBUSY ? 0 : r;
}

static int meta_with(const struct ay__fsck *k, int fd, int dir, const char *name, const struct stat *st,
		     const struct ay_entry *e, unsigned flags)
{
	AY_FREE struct ay_xattr *x = NULL;
	size_t n;

	if ((e->type != AY_ENTRY_SYMLINK && (st->st_mode & 07777) != e->mode) ||
	    (!k->s->owner_me && (st->st_uid != e->uid || st->st_gid != e->gid)) ||
	    st->st_mtim.tv_sec != e->mtime_s || (uint32_t)st->st_mtim.tv_nsec != e->mtime_ns)
		return 0;
	int r = attributes(k, fd, dir, name, flags, &x, &n);
	if (r < 0)
		return answer(r);
	if (n != e->n_xattrs)
		return 0;
	for (size_t i = 0; i < n; i++) {
		const struct ay_xattr *y = &e->xattrs[i];
		if (strcmp(x[i].name, y->name) != 0 || x[i].value_len != y->value_len ||
		    memcmp(x[i].value, y->value, y->value_len) != 0)
			return 0;
	}
	return 1;
}

int ay__fsck_meta_is(const struct ay__fsck *k, int fd, int dir, const char *name, const struct stat *st,
		     const struct ay_entry *e)
{
	int r = meta_with(k, fd, dir, name, st, e, 0);

	/* A label that the machine's policy put there by itself is no damage. */
	return r == 0 ? meta_with(k, fd, dir, name, st, e, AY__XATTR_NO_LABELS) : r;
}

int ay__fsck_inode_is(struct ay__fsck *k, int fd, const struct ay_entry *e, bool content)
{
	struct ay_digest d;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != e->size)
		return 0;
	int r = ay__fsck_meta_is(k, fd, -1, "", &st, e);
	if (r <= 0 || !content)
		return r;
	r = ay_digest_fd(fd, &d, NULL);
	return r < 0 ? answer(r) : ay_digest_eq(&d, &e->digest);
}

static int variant_with(const struct ay__fsck *k, int fd, const struct stat *st,
			const uint8_t want[AY__VARIANT_LEN], unsigned flags)
{
	AY_FREE struct ay_xattr *x = NULL;
	uint8_t v[AY__VARIANT_LEN];
	struct ay_entry e = {.type = AY_ENTRY_FILE,
			     .mode = st->st_mode & 07777,
			     .uid = k->s->owner_me ? 0 : st->st_uid,
			     .gid = k->s->owner_me ? 0 : st->st_gid,
			     .mtime_s = st->st_mtim.tv_sec,
			     .mtime_ns = (uint32_t)st->st_mtim.tv_nsec};
	int r = attributes(k, fd, -1, "", flags, &x, &e.n_xattrs);

	e.xattrs = x;
	if (r == 0)
		r = ay__object_variant(&e, v);
	return r < 0 ? answer(r) : memcmp(v, want, sizeof(v)) == 0;
}

int ay__fsck_variant_is(const struct ay__fsck *k, int fd, const struct stat *st,
			const uint8_t want[AY__VARIANT_LEN])
{
	int r = variant_with(k, fd, st, want, 0);

	return r == 0 ? variant_with(k, fd, st, want, AY__XATTR_NO_LABELS) : r;
}
