/* SPDX-License-Identifier: MIT */
/*
 * A patch of bsdiff(1) and an old file give a new file: no digest says whether it is the right one, so its own is told.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/cleanup.h"
#include "diff/bsdiff40.h"
#include "store/patch_internal.h"

int ay__patch_check_room(int parent, uint64_t bytes, struct ay_err *err)
{
	struct statvfs v;
	uint64_t room;

	if (fstatvfs(parent, &v) < 0)
		return ay_err_errno(err, errno, "cannot ask how much room there is");
	if (__builtin_mul_overflow((uint64_t)v.f_bavail, (uint64_t)v.f_frsize, &room) || bytes <= room)
		return 0;
	return ay_err_set(err, -ENOSPC, "it gives %llu bytes, and there is room for %llu",
			  (unsigned long long)bytes, (unsigned long long)room);
}

int ay__patch_bsdiff40(const struct ay_patch_side *old, int fd, const struct ay_patch_apply *a,
		       struct ay__beside *b, mode_t mode, struct ay_patch_result *res, struct ay_err *err)
{
	AY_FREE struct ay__fd_writer *w = calloc(1, sizeof(*w));
	uint64_t size;
	int r = ay_bsdiff40_new_size(fd, &size, err);

	if (r == 0 && a->max_size == 0)
		r = ay__patch_check_room(b->parent, size, err);
	if (r < 0)
		return r;
	AY_CLOSE int file = b->fs->ops->open(b->fs, b->stage, "file", O_RDWR | O_CREAT | O_EXCL, mode & 0777);
	if (!w || file < 0)
		return ay_err_errno(err, w ? -file : ENOMEM, "cannot make %s", b->name);
	*w = (struct ay__fd_writer){.fs = b->fs, .fd = file, .sparse = true};
	r = ay_bsdiff40_apply(fd, old->fd, a->max_size ? a->max_size : UINT64_MAX, ay__fd_write, w, err);
	if (r < 0)
		return r;
	if ((r = ay__fd_end_sparse(w)) < 0 || (r = b->fs->ops->fsync(b->fs, file)) < 0)
		return ay_err_errno(err, -r, "cannot write %s", b->name);
	res->bytes = size;
	r = ay_digest_fd(file, &res->digest, NULL);
	return r < 0 ? ay_err_errno(err, -r, "cannot read %s back", b->name) : 0;
}
