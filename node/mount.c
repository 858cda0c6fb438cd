/* SPDX-License-Identifier: MIT */
/*
 * The kernel's side of showing a tree: namespaces, detached mounts, where they are put.
 */
#include "node/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

static int open_no_symlinks(const char *path, uint64_t flags)
{
	const struct open_how how = {.flags = flags | O_CLOEXEC,
				     .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

static int dir_error(int r, const char *path, struct ay_err *err)
{
	if (r == -ELOOP)
		return ay_err_set(
			err, r,
			"%s: there is a symbolic link in this path, which somebody could turn; name the "
			"place itself (`realpath` tells it)",
			path);
	return ay_err_errno(err, -r, "cannot open the directory %s", path);
}

int ay_dir_open(const char *path, struct ay_err *err)
{
	int fd = open_no_symlinks(path, O_PATH | O_DIRECTORY);
	return fd < 0 ? dir_error(fd, path, err) : fd;
}

int ay_parent_open(const char *path, char name[NAME_MAX + 1], struct ay_err *err)
{
	AY_FREE char *copy = strdup(path);

	if (!copy)
		return ay_err_errno(err, ENOMEM, "%s", path);
	size_t len = strlen(copy);
	while (len > 1 && copy[len - 1] == '/')
		copy[--len] = '\0';
	char *slash = strrchr(copy, '/');
	const char *last = slash ? slash + 1 : copy;
	if (last[0] == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0 || strlen(last) > NAME_MAX)
		return ay_err_set(err, AY_EUSAGE, "\"%s\" does not name a directory in another one", path);
	memcpy(name, last, strlen(last) + 1);
	if (slash)
		*(slash == copy ? slash + 1 : slash) = '\0';
	const char *parent = slash ? copy : ".";
	int fd = open_no_symlinks(parent, O_RDONLY | O_DIRECTORY);
	return fd < 0 ? dir_error(fd, parent, err) : fd;
}

int ay_fd_path(int fd, char out[PATH_MAX])
{
	char link[64];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, out, PATH_MAX - 1);
	if (n < 0)
		return -errno;
	out[n] = '\0';
	return 0;
}

static int write_text(const char *path, const char *text)
{
	AY_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* In the new user namespace the user is who he was; so files are his, and what he runs has no power over others. */
static int map_self(uid_t uid, gid_t gid)
{
	char text[64];
	int r = write_text("/proc/self/setgroups", "deny");

	snprintf(text, sizeof(text), "%u %u 1\n", uid, uid);
	if (r == 0 || r == -ENOENT)
		r = write_text("/proc/self/uid_map", text);
	snprintf(text, sizeof(text), "%u %u 1\n", gid, gid);
	return r == 0 ? write_text("/proc/self/gid_map", text) : r;
}

int ay_namespace_enter(struct ay_err *err)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	bool user = false;

	if (unshare(CLONE_NEWNS) < 0) {
		if (errno != EPERM)
			return ay_err_errno(err, errno, "cannot make a mount namespace");
		int r = unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ? -errno : map_self(uid, gid);
		if (r < 0)
			return ay_err_set(
				err, AY_EUNSUPPORTED,
				"cannot make a mount namespace: this kernel does not let plain users have one "
				"(%s); run it as root, or allow unprivileged user namespaces (sysctl "
				"user.max_user_namespaces, kernel.unprivileged_userns_clone)",
				strerror(-r));
		user = true;
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return user ? ay_err_set(
				      err, AY_EUNSUPPORTED,
				      "cannot have mounts of my own in a user namespace (%s): run it as root",
				      strerror(errno))
			    : ay_err_errno(err, errno, "cannot separate mounts from the outside's");
	return 0;
}

/* An fd from before leads to the old namespace's mounts, which cannot be used here. */
int ay_namespace_dir(int fd, struct ay_err *err)
{
	char path[PATH_MAX];
	struct stat a, b;

	/* Moved aside between the two lines: then its path is another. */
	for (int i = 0; i < 16; i++) {
		int r = ay_fd_path(fd, path);
		if (r < 0 || fstat(fd, &a) < 0)
			return ay_err_errno(err, r < 0 ? -r : errno, "cannot find a directory again");
		AY_CLOSE int again = open_no_symlinks(path, O_PATH | O_DIRECTORY);
		if (again >= 0 && fstat(again, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
			return ay_steal_fd(&again);
		if (again < 0 && again != -ENOENT)
			return ay_err_errno(err, -again, "cannot open %s again", path);
	}
	return ay_err_set(err, AY_EBUSY, "%s: it is another directory each time", path);
}

int ay_mount_clone(int dir, struct ay_err *err)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
	AY_CLOSE int mnt = open_tree(dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

	if (mnt < 0 && errno == EPERM)
		return ay_err_errno(err, EPERM,
				    "only root may mount a tree for all (`ayni run` works for all)");
	if (mnt < 0)
		return ay_err_errno(err, errno, "cannot make a mount of the tree");
	if (mount_setattr(mnt, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return ay_err_errno(err, errno, "cannot make the mount read-only%s",
				    errno == ENOSYS ? " (it needs Linux 5.12)" : "");
	return ay_steal_fd(&mnt);
}

int ay_mount_overlay(int lower, int upper, int work, const char *source, struct ay_err *err)
{
	const struct {
		const char *key;
		int fd;
	} dirs[] = {{"lowerdir", lower}, {"upperdir", upper}, {"workdir", work}};
	AY_CLOSE int fs = fsopen("overlay", FSOPEN_CLOEXEC);

	if (fs < 0)
		return ay_err_errno(err, errno,
				    errno == EPERM ? "only root may mount an overlay for all"
						   : "this kernel has no overlayfs");
	if (fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
		return ay_err_errno(err, errno, "cannot set up the overlay");
	for (size_t i = 0; i < 3; i++) {
		char path[64];
		snprintf(path, sizeof(path), "/proc/self/fd/%d", dirs[i].fd);
		if (fsconfig(fs, FSCONFIG_SET_STRING, dirs[i].key, path, 0) < 0)
			return ay_err_errno(err, errno, "cannot set up the overlay's %s", dirs[i].key);
	}
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return ay_err_errno(
			err, errno,
			"cannot make the overlay (its upper directory must lie on a file system that has "
			"trusted.* attributes, and be no other overlay's)");
	int mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	return mnt < 0 ? ay_err_errno(err, errno, "cannot make the overlay") : mnt;
}

int ay_mount_attach(int mnt, int at, const char *what, struct ay_err *err)
{
	if (move_mount(mnt, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0)
		return 0;
	return ay_err_errno(err, errno, "cannot mount on %s", what);
}
