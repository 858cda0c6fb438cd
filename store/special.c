/* SPDX-License-Identifier: MIT */
/* What cannot be opened: symbolic links, devices and fifos are made by name, and get their metadata by name. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "store/tree_internal.h"

/* Symlinks, devices and fifos cannot be opened, so their metadata is set by name. */
static int set_meta_by_name(struct ay_store *s, int dir, const char *name, const struct ay_entry *e,
			    struct ay_err *err)
{
	const struct ay_fs_ops *ops = s->fs->ops;
	const struct timespec mtime = {.tv_sec = e->mtime_s, .tv_nsec = e->mtime_ns};
	int r = 0;

	if (!s->owner_me && (r = ops->chown(s->fs, dir, name, e->uid, e->gid)) < 0)
		return ay_err_errno(err, -r, "%s: cannot give it to %u:%u", e->path, e->uid, e->gid);
	if (e->type != AY_ENTRY_SYMLINK) {
		AY_CLOSE int fd = ay__open_beneath(dir, name, O_PATH);
		if (fd < 0 || (r = ops->chmod(s->fs, fd, e->mode)) < 0)
			return ay_err_errno(err, fd < 0 ? -fd : -r, "%s: cannot set mode %04o", e->path,
					    e->mode);
	}
	for (size_t i = 0; i < e->n_xattrs; i++) {
		const struct ay_xattr *x = &e->xattrs[i];
		if ((r = ops->setxattr(s->fs, dir, name, x->name, x->value, x->value_len)) < 0)
			return ay_err_errno(err, -r, "%s: cannot set attribute %s", e->path, x->name);
	}
	if ((r = ops->utimens(s->fs, dir, name, &mtime)) < 0)
		return ay_err_errno(err, -r, "%s: cannot set its time", e->path);
	return 0;
}

int ay__make_special(struct ay_store *s, int dir, const char *name, const struct ay_entry *e,
		     struct ay_err *err)
{
	struct ay_fs *fs = s->fs;
	struct ay__local_entry local;
	int r;

	if (!ay__entry_kept(s, e))
		return 0;
	if (e->type == AY_ENTRY_SYMLINK) {
		r = fs->ops->symlink(fs, e->target, dir, name);
	} else {
		mode_t type = e->type == AY_ENTRY_FIFO   ? S_IFIFO
			      : e->type == AY_ENTRY_CHAR ? S_IFCHR
							 : S_IFBLK;
		dev_t dev = e->type == AY_ENTRY_FIFO ? 0 : makedev(e->dev_major, e->dev_minor);
		r = fs->ops->mknod(fs, dir, name, type | 0600, dev);
	}
	if (r == -EPERM && e->type != AY_ENTRY_SYMLINK && e->type != AY_ENTRY_FIFO)
		return ay_err_errno(err, EPERM,
				    "%s: may not make a device here (in a container without CAP_MKNOD?)",
				    e->path);
	if (r == -EINVAL && e->type != AY_ENTRY_SYMLINK && e->type != AY_ENTRY_FIFO)
		return ay_err_errno(err, EINVAL, "%s: the file system of %s has no device number %u:%u",
				    e->path, s->path, e->dev_major, e->dev_minor);
	if (r < 0)
		return ay_err_errno(err, -r, "%s: cannot make it", e->path);
	ay__entry_localise(s, e, &local);
	return set_meta_by_name(s, dir, name, &local.e, err);
}
