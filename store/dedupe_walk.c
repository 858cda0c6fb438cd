/* SPDX-License-Identifier: MIT */
/*
 * Which files there are. What a killed run left under a temporary name is removed where that loses nothing: when its
 * inode has another name.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "store/dedupe_internal.h"
#include "store/file.h"
#include "store/hash_pool.h"

#define DEPTH_MAX 256 /* directories open at once */

struct walk {
	struct ay__dedupe *d;
	int root;
	dev_t dev;
	char path[AY_PATH_MAX + 1];
	size_t len;
	unsigned depth;
};

void ay__dedupe_name(const struct ay__dedupe *d, int root, const char *path, char out[AY__DEDUPE_NAME_MAX])
{
	unsigned i = 0;

	while (i < d->how->n_dirs && d->roots[i] != root)
		i++;
	const char *dir = i < d->how->n_dirs ? d->how->dirs[i] : "";
	bool slash = dir[0] && dir[strlen(dir) - 1] != '/';
	if (strcmp(path, ".") == 0)
		snprintf(out, AY__DEDUPE_NAME_MAX, "%s", dir);
	else
		snprintf(out, AY__DEDUPE_NAME_MAX, "%s%s%s", dir, slash ? "/" : "", path);
}

void ay__dedupe_skip(struct ay__dedupe *d, enum ay_dedupe_skip why, int root, const char *path)
{
	char name[AY__DEDUPE_NAME_MAX];

	d->out->skipped[why]++;
	if (!d->how->skipped)
		return;
	ay__dedupe_name(d, root, path, name);
	d->how->skipped(d->how->ctx, why, name);
}

/* 1, 0, -errno. */
static int is_store(int dir)
{
	char text[12];
	AY_CLOSE int fd = openat(dir, "VERSION", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return ay__not_there(-errno) ? 0 : -errno;
	do
		n = read(fd, text, 11);
	while (n < 0 && errno == EINTR);
	return n == 11 && memcmp(text, "ayni-store ", 11) == 0;
}

static int add(struct walk *w, const struct stat *st)
{
	struct ay__dedupe *d = w->d;

	if (d->n == d->cap) {
		size_t cap = d->cap ? d->cap + d->cap / 2 : 1024;
		struct ay__dup *grown = reallocarray(d->list, cap, sizeof(*grown));
		if (!grown)
			return ay_err_errno(d->err, ENOMEM, "list files");
		d->list = grown;
		d->cap = cap;
	}
	char *path = strdup(w->path);
	if (!path)
		return ay_err_errno(d->err, ENOMEM, "list files");
	d->list[d->n++] = (struct ay__dup){.st = *st, .path = path, .root = w->root};
	return 0;
}

static int walk_dir(struct walk *w, int fd);

static int enter(struct walk *w, int dir, const char *name, const struct stat *st)
{
	if (st->st_dev != w->dev) {
		ay__dedupe_skip(w->d, AY_DEDUPE_MOUNT, w->root, w->path);
		return 0;
	}
	int fd = w->depth < DEPTH_MAX ? openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
				      : -1;
	if (fd < 0 && w->depth < DEPTH_MAX)
		return ay__dedupe_unopened(w->d, -errno, &(struct ay__dup){.root = w->root, .path = w->path});
	if (fd < 0) {
		ay__dedupe_skip(w->d, AY_DEDUPE_UNREADABLE, w->root, w->path);
		return 0;
	}
	return walk_dir(w, fd);
}

static int visit(struct walk *w, int dir, const char *name)
{
	size_t was = w->len, n = strlen(name);
	struct stat st;
	int r = 0;

	if (was + 1 + n > AY_PATH_MAX) {
		ay__dedupe_skip(w->d, AY_DEDUPE_UNREADABLE, w->root, w->path);
		return 0;
	}
	if (was > 0)
		w->path[w->len++] = '/';
	memcpy(w->path + w->len, name, n + 1);
	w->len += n;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		bool ours = strncmp(name, AY__DEDUPE_PREFIX, sizeof(AY__DEDUPE_PREFIX) - 1) == 0;
		if (S_ISDIR(st.st_mode))
			r = enter(w, dir, name, &st);
		else if (S_ISREG(st.st_mode) && ours && st.st_nlink > 1 && !w->d->how->dry_run)
			w->d->swept |= w->d->fs->ops->unlink(w->d->fs, dir, name, 0) == 0;
		else if (S_ISREG(st.st_mode) && st.st_size > 0 && st.st_dev == w->dev)
			r = add(w, &st);
	}
	w->len = was;
	w->path[was] = '\0';
	return r;
}

/* @fd is taken over. */
static int walk_dir(struct walk *w, int fd)
{
	AY_CLOSEDIR DIR *dir = fdopendir(fd);
	const struct dirent *e;
	int r = 0;

	if (!dir) {
		close(fd);
		return ay_err_errno(w->d->err, ENOMEM, "walk");
	}
	int store = w->d->how->read_only ? is_store(fd) : 0;
	if (store < 0)
		return ay__dedupe_unopened(w->d, store, &(struct ay__dup){.root = w->root, .path = w->path});
	if (store > 0) {
		ay__dedupe_skip(w->d, AY_DEDUPE_STORE, w->root, w->len ? w->path : ".");
		return 0;
	}
	w->depth++;
	while (r == 0 && (errno = 0, e = readdir(dir))) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = visit(w, dirfd(dir), e->d_name);
	}
	if (r == 0 && errno != 0) /* what is behind it was not seen */
		ay__dedupe_skip(w->d, AY_DEDUPE_UNREADABLE, w->root, w->len ? w->path : ".");
	w->depth--;
	return r;
}

int ay__dedupe_walk(struct ay__dedupe *d, const int *roots)
{
	AY_FREE struct walk *w = calloc(1, sizeof(*w));

	if (!w)
		return ay_err_errno(d->err, ENOMEM, "walk");
	for (unsigned i = 0; i < d->how->n_dirs; i++) {
		struct stat st;
		int fd = openat(roots[i], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) < 0) {
			int saved = errno;
			if (fd >= 0)
				close(fd);
			return ay_err_errno(d->err, saved, "cannot walk %s", d->how->dirs[i]);
		}
		*w = (struct walk){.d = d, .root = roots[i], .dev = st.st_dev};
		int r = walk_dir(w, fd);
		if (r < 0)
			return r;
	}
	return 0;
}

int ay__dedupe_open(const struct ay__dup *f)
{
	struct stat now;
	AY_CLOSE int fd = ay__open_beneath(f->root, f->path, O_RDONLY | O_NONBLOCK);

	if (fd < 0)
		return fd == -ENOENT || fd == -ELOOP || fd == -ENOTDIR ? AY_EBUSY : fd;
	if (fstat(fd, &now) < 0)
		return -errno;
	return ay__stat_same(&f->st, &now) ? ay_steal_fd(&fd) : AY_EBUSY;
}

int ay__dedupe_unopened(struct ay__dedupe *d, int r, const struct ay__dup *f)
{
	char name[AY__DEDUPE_NAME_MAX];

	if (ay__own_lack(r)) {
		ay__dedupe_name(d, f->root, f->path, name);
		return ay_err_errno(d->err, -r, "cannot look at %s", name);
	}
	ay__dedupe_skip(d, r == AY_EBUSY ? AY_DEDUPE_CHANGED : AY_DEDUPE_UNREADABLE, f->root, f->path);
	return 0;
}

bool ay__dedupe_immutable(int fd)
{
	int flags = 0;

	return ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & (FS_IMMUTABLE_FL | FS_APPEND_FL));
}
