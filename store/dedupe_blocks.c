/* SPDX-License-Identifier: MIT */
/*
 * Blocks: the kernel is asked to make two files' ranges one (FIDEDUPERANGE). It locks both, compares, and shares only what
 * is equal at that moment; so nothing here can go wrong but the counting.
 *
 * Whether they are one already is read from the map of their extents (FIEMAP), so that a second run tells of nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"
#include "store/dedupe_internal.h"

#define RANGE   (16u << 20) /* at once: what btrfs takes */
#define EXTENTS 128         /* of a map that are looked at together */

#define MAP_SIZE (sizeof(struct fiemap) + EXTENTS * sizeof(struct fiemap_extent))

static int read_map(int fd, uint64_t at, struct fiemap *m)
{
	memset(m, 0, MAP_SIZE);
	m->fm_start = at;
	m->fm_length = FIEMAP_MAX_OFFSET - at;
	m->fm_flags = FIEMAP_FLAG_SYNC;
	m->fm_extent_count = EXTENTS;
	return ioctl(fd, FS_IOC_FIEMAP, m) < 0 ? -errno : 0;
}

static bool same_extent(const struct fiemap_extent *a, const struct fiemap_extent *b)
{
	const uint32_t vague = FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC;

	if ((a->fe_flags | b->fe_flags) & vague)
		return false;
	return a->fe_logical == b->fe_logical && a->fe_physical == b->fe_physical &&
	       a->fe_length == b->fe_length;
}

/* Do they lie in the same blocks from first to last? 1 yes, or they have none; 0 no, or nobody can tell. */
static bool are_one(int a, int b)
{
	AY_FREE struct fiemap *x = malloc(MAP_SIZE), *y = malloc(MAP_SIZE);
	uint64_t at = 0;

	if (!x || !y)
		return false;
	for (;;) {
		if (read_map(a, at, x) < 0 || read_map(b, at, y) < 0)
			return false;
		uint32_t n = x->fm_mapped_extents;
		if (n != y->fm_mapped_extents)
			return false;
		if (n == 0)
			return true; /* all hole */
		for (uint32_t i = 0; i < n; i++) {
			/* In the inode itself: there is nothing to share. */
			bool inside = x->fm_extents[i].fe_flags & y->fm_extents[i].fe_flags &
				      FIEMAP_EXTENT_DATA_INLINE;
			if (!inside && !same_extent(&x->fm_extents[i], &y->fm_extents[i]))
				return false;
		}
		const struct fiemap_extent *last = &x->fm_extents[n - 1];
		if (last->fe_flags & FIEMAP_EXTENT_LAST)
			return true;
		at = last->fe_logical + last->fe_length;
	}
}

static int unsupported(struct ay__dedupe *d, const struct ay__dup *f)
{
	char name[AY__DEDUPE_NAME_MAX];

	ay__dedupe_name(d, f->root, f->path, name);
	return ay_err_set(
		d->err, AY_EUNSUPPORTED,
		"%s: this file system cannot share blocks between files (btrfs and xfs can; ext4 cannot): if "
		"nobody writes to these directories, --read-only makes equal files one by hard links",
		name);
}

static bool lacks_dedupe(int64_t r)
{
	return r == -EOPNOTSUPP || r == -ENOTTY || r == -ENOSYS || r == -EINVAL;
}

/* 1: all of it is shared now; 0: it is not equal any more; negative. */
static int share(struct ay__dedupe *d, int from, int to, uint64_t size)
{
	for (uint64_t at = 0; at < size;) {
		uint64_t len = size - at < RANGE ? size - at : RANGE;
		int64_t n = d->fs->ops->dedupe(d->fs, from, to, at, len);
		if (n == -EINTR)
			continue;
		if (n <= 0)
			return (int)n;
		at += (uint64_t)n;
	}
	return 1;
}

static int failed(struct ay__dedupe *d, int errnum, const struct ay__dup *f)
{
	char name[AY__DEDUPE_NAME_MAX];

	ay__dedupe_name(d, f->root, f->path, name);
	return ay_err_errno(d->err, errnum, "cannot share the blocks of %s", name);
}

static int pair(struct ay__dedupe *d, const struct ay__dup *keep, int from, const struct ay__dup *f)
{
	AY_CLOSE int to = ay__dedupe_open(f);
	int r = 1;

	if (to < 0)
		return ay__dedupe_unopened(d, to, f);
	if (are_one(from, to))
		return 0;
	if (!d->how->dry_run)
		r = share(d, from, to, (uint64_t)keep->st.st_size);
	else /* asks whether it could be, and changes nothing */
		r = lacks_dedupe(d->fs->ops->dedupe(d->fs, from, to, 0, 0)) ? -EOPNOTSUPP : 1;
	if (lacks_dedupe(r))
		return unsupported(d, f);
	if (r == 0)
		ay__dedupe_skip(d, AY_DEDUPE_CHANGED, f->root, f->path);
	else if (r == -EPERM || r == -EACCES || r == -ETXTBSY)
		ay__dedupe_skip(d, AY_DEDUPE_UNREADABLE, f->root, f->path);
	else if (r < 0)
		return failed(d, -r, f);
	if (r <= 0)
		return 0;
	d->out->shared_files++;
	d->out->saved_bytes += (uint64_t)f->st.st_blocks * 512;
	return 0;
}

int ay__dedupe_blocks(struct ay__dedupe *d, struct ay__dup *const *files, size_t n)
{
	AY_CLOSE int from = -1;
	size_t first = 0;
	int r = 0;

	for (; first < n && from < 0; first++) {
		from = ay__dedupe_open(files[first]);
		if (from < 0 && (r = ay__dedupe_unopened(d, from, files[first])) < 0)
			return r;
	}
	for (size_t i = first; r == 0 && i < n; i++)
		r = pair(d, files[first - 1], from, files[i]);
	return r;
}
