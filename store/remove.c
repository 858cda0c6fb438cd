/* SPDX-License-Identifier: MIT */
/*
 * One task a directory: it removes what is no directory, gives each directory in it to the crew, and who removes the last
 * of these removes it. Fds and memory are bounded: beyond that, and below DEPTH_MAX, a directory is removed by whoever
 * finds it (store/file.c).
 */
#include "store/remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/file.h"

#define OPEN_MAX_DIRS 128 /* at once, each with the C library's buffer of 32 KiB */
#define DEPTH_MAX     64  /* a chain of directories is open up to its top */

struct remover {
	struct ay_fs *fs;
	struct ay__crew *crew;
	struct ay__failure *failure;
	int top;          /* where the outermost directory is */
	atomic_uint dirs; /* tasks that are given and not done */
};

struct removal {
	struct ay__task task;
	struct remover *rm;
	struct removal *above; /* NULL: the outermost */
	DIR *d;
	unsigned depth;
	atomic_uint users; /* itself while it lists, and each directory in it */
	char name[256];
};

static int fd_above(const struct removal *x)
{
	return x->above ? dirfd(x->above->d) : x->rm->top;
}

static void note(struct remover *rm, int r)
{
	if (r < 0 && r != -ENOENT)
		ay__failure_set(rm->failure, r, NULL);
}

/* Closed to ourselves, as a plain user's directory may be, it is opened to us first. */
static DIR *list(struct removal *x)
{
	struct ay_fs *fs = x->rm->fs;
	int above = fd_above(x);
	int fd = ay__open_beneath(above, x->name, O_RDONLY | O_DIRECTORY);
	struct stat st;

	if (fd == -EACCES) {
		int path = ay__open_beneath(above, x->name, O_PATH | O_DIRECTORY);
		if (path >= 0) {
			fs->ops->chmod(fs, path, 0700);
			close(path);
		}
		fd = ay__open_beneath(above, x->name, O_RDONLY | O_DIRECTORY);
	}
	if (fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 0700) != 0700)
		fs->ops->chmod(fs, fd, 0700);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		note(x->rm, fd < 0 ? fd : -errno);
		if (fd >= 0)
			close(fd);
	}
	return d;
}

/* One user less; with the last the directory goes, and is a user less of the one above. */
static void leave(struct removal *x)
{
	while (x && atomic_fetch_sub(&x->users, 1) == 1) {
		struct removal *above = x->above;
		struct remover *rm = x->rm;
		if (x->d) {
			closedir(x->d);
			note(rm, rm->fs->ops->unlink(rm->fs, fd_above(x), x->name, AT_REMOVEDIR));
		}
		free(x);
		atomic_fetch_sub(&rm->dirs, 1);
		x = above;
	}
}

static void run(struct ay__task *task);

static struct removal *removal_new(struct remover *rm, struct removal *above, const char *name)
{
	size_t len = strlen(name);
	struct removal *x = len < sizeof(x->name) ? calloc(1, sizeof(*x)) : NULL;

	if (!x)
		return NULL;
	x->task.run = run;
	x->rm = rm;
	x->above = above;
	x->depth = above ? above->depth + 1 : 0;
	atomic_init(&x->users, 1);
	memcpy(x->name, name, len + 1);
	atomic_fetch_add(&rm->dirs, 1);
	return x;
}

static void remove_dir(struct removal *x, const char *name)
{
	struct remover *rm = x->rm;
	struct removal *below = x->depth + 1 < DEPTH_MAX && atomic_load(&rm->dirs) < OPEN_MAX_DIRS
					? removal_new(rm, x, name)
					: NULL;

	if (!below) {
		note(rm, ay__remove_tree(rm->fs, dirfd(x->d), name));
		return;
	}
	atomic_fetch_add(&x->users, 1);
	ay__crew_give(rm->crew, &below->task);
}

static void run(struct ay__task *task)
{
	struct removal *x = (struct removal *)(void *)task;
	struct ay_fs *fs = x->rm->fs;
	struct dirent *e;

	x->d = list(x);
	while (x->d && (e = readdir(x->d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		int r = e->d_type == DT_DIR ? -EISDIR : fs->ops->unlink(fs, dirfd(x->d), e->d_name, 0);
		if (r == -EISDIR || r == -EPERM) /* which of the two says POSIX otherwise than Linux */
			remove_dir(x, e->d_name);
		else
			note(x->rm, r);
	}
	leave(x);
}

int ay__remove_tree_by(struct ay__crew *crew, struct ay_fs *fs, int dirfd, const char *name)
{
	struct remover rm = {.fs = fs, .crew = crew, .top = dirfd};
	struct stat st;

	if (!crew || fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode) ||
	    !(rm.failure = ay__failure_new()))
		return ay__remove_tree(fs, dirfd, name);
	struct removal *x = removal_new(&rm, NULL, name);
	if (x)
		ay__crew_give(crew, &x->task);
	ay__crew_wait(crew);
	int r = x ? ay__failure_get(rm.failure, NULL) : ay__remove_tree(fs, dirfd, name);
	ay__failure_free(rm.failure);
	return r;
}
