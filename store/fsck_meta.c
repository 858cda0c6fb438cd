/* SPDX-License-Identifier: MIT */
/*
 * Is an inode what an entry, or an object's name, says of it: mode, owner, time, attributes, and the bytes.
 */
#include <string.h>

#include "base/cleanup.h"
#include "store/fsck_internal.h"
#include "store/xattr.h"

static bool meta_with(const struct ay__fsck *k, int fd, int dir, const char *name, const struct stat *st,
		      const struct ay_entry *e, unsigned flags)
{
	AY_FREE struct ay_xattr *x = NULL;
	size_t n = 0, kept = 0;

	if ((e->type != AY_ENTRY_SYMLINK && (st->st_mode & 07777) != e->mode) ||
	    (!k->s->owner_me && (st->st_uid != e->uid || st->st_gid != e->gid)) ||
	    st->st_mtim.tv_sec != e->mtime_s || (uint32_t)st->st_mtim.tv_nsec != e->mtime_ns)
		return false;
	if (ay__xattrs_read(fd, dir, name, flags, &x, &n, NULL) < 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!k->s->owner_me || strncmp(x[i].name, "user.", 5) == 0)
			x[kept++] = x[i];
	}
	if (kept != e->n_xattrs)
		return false;
	for (size_t i = 0; i < kept; i++) {
		const struct ay_xattr *y = &e->xattrs[i];
		if (strcmp(x[i].name, y->name) != 0 || x[i].value_len != y->value_len ||
		    memcmp(x[i].value, y->value, y->value_len) != 0)
			return false;
	}
	return true;
}

bool ay__fsck_meta_is(const struct ay__fsck *k, int fd, int dir, const char *name, const struct stat *st,
		      const struct ay_entry *e)
{
	/* A label that the machine's policy put there by itself is no damage. */
	return meta_with(k, fd, dir, name, st, e, 0) ||
	       meta_with(k, fd, dir, name, st, e, AY__XATTR_NO_LABELS);
}

bool ay__fsck_inode_is(struct ay__fsck *k, int fd, const struct ay_entry *e, bool content)
{
	struct ay_digest d;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != e->size ||
	    !ay__fsck_meta_is(k, fd, -1, "", &st, e))
		return false;
	return !content || (ay_digest_fd(fd, &d, NULL) == 0 && ay_digest_eq(&d, &e->digest));
}

/* Does the inode give the variant that its name has? */
static bool variant_with(const struct ay__fsck *k, int fd, const struct stat *st,
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
	size_t n = 0;

	if (ay__xattrs_read(fd, -1, "", flags, &x, &n, NULL) < 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!k->s->owner_me || strncmp(x[i].name, "user.", 5) == 0)
			x[e.n_xattrs++] = x[i];
	}
	e.xattrs = x;
	return ay__object_variant(&e, v) == 0 && memcmp(v, want, sizeof(v)) == 0;
}

bool ay__fsck_variant_is(const struct ay__fsck *k, int fd, const struct stat *st,
			 const uint8_t want[AY__VARIANT_LEN])
{
	return variant_with(k, fd, st, want, 0) || variant_with(k, fd, st, want, AY__XATTR_NO_LABELS);
}
