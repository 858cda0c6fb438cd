/* SPDX-License-Identifier: MIT */
/*
 * The overlay's three directories. What was written over one tree makes no sense over another (the kernel
 * says "undefined"), so a file remembers which it was.
 */
#include "node/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/mount.h"

#define TREE_TEXT_MAX 96 /* branch, blank, serial, newline */

/* The directory @name in @dir, ours alone: made, or there already and nobody else's. */
static int own_dir(int dir, const char *name, mode_t mode, bool *made, struct ay_err *err)
{
	struct stat st;

	*made = mkdirat(dir, name, mode) == 0;
	if (!*made && errno != EEXIST)
		return ay_err_errno(err, errno, "cannot make %s", name);
	AY_CLOSE int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return ay_err_errno(err, errno, "cannot open %s", name);
	if (st.st_uid != geteuid() || (st.st_mode & 022))
		return ay_err_set(err, -EPERM, "%s: it is somebody else's, or others may write to it", name);
	return ay_steal_fd(&fd);
}

/* The upper directory is what DIR itself looks like: owner, mode and times of the tree's. */
static int look_like(int upper, int root, struct ay_err *err)
{
	struct stat st;

	if (fstat(root, &st) < 0 || fchown(upper, st.st_uid, st.st_gid) < 0 ||
	    fchmod(upper, st.st_mode & 07777) < 0 ||
	    futimens(upper, (const struct timespec[]){st.st_atim, st.st_mtim}) < 0)
		return ay_err_errno(err, errno, "cannot prepare the overlay's directory");
	return 0;
}

/* Is what was written there of this tree? The first time it is noted. */
static int check_tree(const struct ay_overlay *o, int side, struct ay_err *err)
{
	char now[TREE_TEXT_MAX], was[TREE_TEXT_MAX] = "";
	int n = snprintf(now, sizeof(now), "%s %u\n", o->branch, o->use->serial);
	AY_CLOSE int fd = openat(side, "tree", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 || read(fd, was, sizeof(was) - 1) < 0)
		return ay_err_errno(err, errno, "cannot read .%s.ayni/tree", o->name);
	if (was[0] == '\0')
		return write(fd, now, (size_t)n) == n && fsync(fd) == 0
			       ? 0
			       : ay_err_errno(err, errno, "cannot write .%s.ayni/tree", o->name);
	if (strcmp(was, now) == 0)
		return 0;
	was[strcspn(was, "\n")] = '\0';
	return ay_err_set(
		err, -EEXIST,
		"what was written at %s lies over %s: check that one out (BRANCH@SERIAL), or remove .%s.ayni to "
		"begin anew",
		o->dir, was, o->name);
}

static int mount_sides(const struct ay_overlay *o, int side, int *mnt, struct ay_err *err)
{
	char source[AY_USE_SOURCE_MAX];
	bool made, ignored;
	struct stat st;
	int r = check_tree(o, side, err);

	if (r < 0)
		return r;
	/* Inside the 0700 directory, so its own modes are nobody's business. */
	AY_CLOSE int work = own_dir(side, "work", 0700, &ignored, err);
	made = work >= 0 && mkdirat(side, "upper", 0700) == 0;
	AY_CLOSE int upper =
		work < 0 ? work : openat(side, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (upper < 0)
		return work < 0 ? work : ay_err_errno(err, errno, "cannot open .%s.ayni/upper", o->name);
	if (made && (r = look_like(upper, o->use->root, err)) < 0)
		return r;
	if (fstat(o->use->root, &st) < 0)
		return ay_err_errno(err, errno, "the tree");
	ay_use_source(&st, source);
	*mnt = ay_mount_overlay(o->use->root, upper, work, source, err);
	return *mnt < 0 ? *mnt : 0;
}

/* DIR may be there, but empty: what lies in it would be hidden. */
static int open_at(const struct ay_overlay *o, struct ay_err *err)
{
	if (mkdirat(o->parent, o->name, 0755) < 0 && errno != EEXIST)
		return ay_err_errno(err, errno, "cannot make %s", o->dir);
	AY_CLOSE int fd = openat(o->parent, o->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return ay_err_errno(err, errno, "cannot open %s", o->dir);
	if (ay_mount_id(fd) != ay_mount_id(o->parent))
		return ay_err_set(err, AY_EBUSY, "%s: something is mounted there already", o->dir);
	int list = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AY_CLOSEDIR DIR *d = list < 0 ? NULL : fdopendir(list);
	struct dirent *e;
	while (d && (e = readdir(d))) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			return ay_err_set(err, -ENOTEMPTY, "%s is not empty", o->dir);
	}
	return d ? ay_steal_fd(&fd) : ay_err_errno(err, errno, "cannot list %s", o->dir);
}

int ay_overlay_mount(const struct ay_overlay *o, int *pid, struct ay_err *err)
{
	char side_name[NAME_MAX + 8];
	AY_CLOSE int mnt = -1;
	bool ignored;

	if (strlen(o->name) + strlen("..ayni") > NAME_MAX)
		return ay_err_set(err, -ENAMETOOLONG, "%s", o->dir);
	snprintf(side_name, sizeof(side_name), ".%s.ayni", o->name);
	AY_CLOSE int at = open_at(o, err);
	AY_CLOSE int side = at < 0 ? at : own_dir(o->parent, side_name, 0700, &ignored, err);
	if (side < 0)
		return side;
	if (flock(side, LOCK_EX | LOCK_NB) < 0)
		return ay_err_set(err, AY_EBUSY, "%s: somebody checks it out right now", o->dir);
	int r = mount_sides(o, side, &mnt, err);
	if (r == 0)
		r = ay_mount_attach(mnt, at, o->dir, err);
	if (r < 0)
		return r;
	if ((r = ay_mount_hold(ay_mount_id(mnt), o->use->ref, o->store, pid, err)) < 0) {
		char path[64];
		snprintf(path, sizeof(path), "/proc/self/fd/%d", mnt);
		umount2(path, MNT_DETACH);
	}
	return r;
}
