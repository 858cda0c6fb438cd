/* SPDX-License-Identifier: MIT */
/*
 * Collecting looks only at the objects of the tree that goes. After a power cut that may miss some: a file system owes
 * us no order among names that were not synced, so the manifest that knew an object may be gone and the object be
 * there. So the first collection of each boot looks at all of them, once; state/swept tells which boot that was.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/gc_objects.h"
#include "store/spill.h"
#include "store/tree_internal.h"

#define SWEPT       "swept" /* in state/ */
#define SLICE_FILES 256     /* entries looked at under the exclusive lock at once: a few milliseconds */

/* One slice of a bucket, under the lock that the caller holds. 1: more; 0: that was all; negative: it failed. */
static int drop_slice(struct ay_store *s, DIR *d, const char *bucket, struct ay_gc_result *res,
		      struct ay_err *err)
{
	struct dirent *e;

	for (int i = 0; i < SLICE_FILES; i++) {
		struct stat st;
		errno = 0;
		if (!(e = readdir(d)))
			return errno ? ay_err_errno(err, errno, "cannot list %s/objects/%s", s->path, bucket)
				     : 0;
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (!ay__not_there(-errno))
				return ay_err_errno(err, errno, "cannot look at object %s/%s", bucket,
						    e->d_name);
			continue;
		}
		if (!S_ISREG(st.st_mode) || st.st_nlink > 1)
			continue;
		struct ay__object_name name;
		int n = snprintf(name.s, sizeof(name.s), "%s/%s", bucket, e->d_name), r;
		if (n == AY__OBJECT_NAME_MAX - 1)
			r = ay__object_drop(s, &name);
		else /* what is no object's name cannot be needed */
			r = s->fs->ops->unlink(s->fs, dirfd(d), e->d_name, 0) < 0 ? 0 : 1;
		if (r < 0 && r != -ENOENT)
			return ay_err_errno(err, -r, "cannot remove object %s/%s", bucket, e->d_name);
		if (r <= 0)
			continue;
		res->objects++;
		res->bytes += (uint64_t)st.st_blocks * 512;
	}
	return 1;
}

static int sweep_bucket(struct ay_store *s, const char *bucket, struct ay_gc_result *res, struct ay_err *err)
{
	int fd = ay__open_beneath(s->objects, bucket, O_RDONLY | O_DIRECTORY);
	AY_CLOSEDIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
	int r = 1;

	if (fd == -ENOENT)
		return 0;
	if (!d)
		return ay_err_errno(err, fd < 0 ? -fd : errno, "cannot list %s/objects/%s", s->path, bucket);
	while (r > 0) {
		if ((r = ay__store_lock(s, LOCK_EX, err)) < 0)
			break;
		r = drop_slice(s, d, bucket, res, err);
		ay__store_unlock(s);
	}
	return r;
}

/* Not synced: if a power cut takes it or leaves half of it, all are looked at once more. */
static void mark(struct ay_store *s, const char *line)
{
	s->fs->ops->unlink(s->fs, s->state, SWEPT, 0);
	ay__write_file(s->fs, s->state, SWEPT, line, strlen(line));
}

int ay__gc_objects(struct ay_store *s, struct ay_gc_result *res, struct ay_err *err)
{
	AY_FREE uint8_t *swept = NULL;
	char boot[33], line[34];
	size_t len = 0;

	int r = ay__store_lock(s, LOCK_EX, err);
	if (r < 0)
		return r;
	ay__spill_settle(s);
	ay__store_unlock(s);
	ay__boot_id(boot);
	snprintf(line, sizeof(line), "%s\n", boot);
	if (ay__read_file(s->state, SWEPT, sizeof(line), &swept, &len, NULL) == 0 &&
	    strcmp((const char *)swept, line) == 0)
		return 0;
	for (unsigned i = 0; i < 256 && r == 0; i++) {
		char bucket[3];
		snprintf(bucket, sizeof(bucket), "%02x", i);
		r = sweep_bucket(s, bucket, res, err);
	}
	if (r == 0)
		mark(s, line);
	return r;
}
