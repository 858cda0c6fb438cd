/* SPDX-License-Identifier: MIT */
/*
 * What a directory has besides a manifest's paths: told, and offered as contents that may be wanted
 * elsewhere (a renamed file). Only this file system is walked, never the store itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "store/adopt_internal.h"

#define DEPTH_MAX 256 /* directories open at once; deeper ones are skipped, and told */

struct walk {
	const struct ay__extras *x;
	struct stat root, store;
	char path[AY_PATH_MAX + 1];
	size_t path_len; /* 0 for the root */
	unsigned depth;
};

uint64_t ay__path_hash(const char *path, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)path[i]) * 0x100000001b3u;
	return h;
}

static bool in_manifest(const struct ay__extras *x, uint64_t hash)
{
	size_t low = 0, high = x->n_paths;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (x->paths[mid] == hash)
			return true;
		if (x->paths[mid] < hash)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

static void tell(const struct walk *w, enum ay_adopt_diff what)
{
	w->x->out->differ[what]++;
	if (w->x->a->differs)
		w->x->a->differs(w->x->a->ctx, what, w->path);
}

static int walk_dir(struct walk *w, int fd, struct ay_err *err);

static int enter(struct walk *w, int dir, const char *name, const struct stat *st, struct ay_err *err)
{
	bool same = st->st_dev == w->root.st_dev &&
		    !(st->st_dev == w->store.st_dev && st->st_ino == w->store.st_ino);
	int fd = -1;

	if (same && w->depth < DEPTH_MAX)
		fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && same && w->depth < DEPTH_MAX && ay__own_lack(-errno))
		return ay_err_errno(err, errno, "cannot look into %s in %s", w->path, w->x->a->dir);
	if (fd < 0) {
		tell(w, AY_ADOPT_SKIPPED);
		return 0;
	}
	return walk_dir(w, fd, err);
}

static int visit(struct walk *w, int dir, const char *name, struct ay_err *err)
{
	const struct ay__extras *x = w->x;
	size_t was = w->path_len, len = strlen(name);
	struct stat st;
	int r = 0;

	if (was + 1 + len > AY_PATH_MAX) {
		tell(w, AY_ADOPT_SKIPPED);
		return 0;
	}
	w->path[was] = '/';
	memcpy(w->path + was + 1, name, len + 1);
	w->path_len = was + 1 + len;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) { /* else it has just gone */
		bool extra = !in_manifest(x, ay__path_hash(w->path, w->path_len));
		if (extra)
			tell(w, AY_ADOPT_EXTRA);
		if (S_ISDIR(st.st_mode))
			r = enter(w, dir, name, &st, err);
		else if (extra && S_ISREG(st.st_mode) && x->file)
			r = x->file(x->ctx, dir, name, &st, err);
	}
	w->path_len = was;
	w->path[was] = '\0';
	return r;
}

/* @fd is taken over. */
static int walk_dir(struct walk *w, int fd, struct ay_err *err)
{
	AY_CLOSEDIR DIR *d = fdopendir(fd);
	struct dirent *e;
	int r = 0, end = 0;

	if (!d) {
		close(fd);
		return ay_err_errno(err, ENOMEM, "walk");
	}
	w->depth++;
	while (r == 0 && (e = ay__dir_next(d, &end)))
		r = visit(w, dirfd(d), e->d_name, err);
	w->depth--;
	if (r == 0 && end < 0) /* what is behind it was not seen */
		tell(w, AY_ADOPT_SKIPPED);
	return r;
}

int ay__extras_walk(const struct ay__extras *x, struct ay_err *err)
{
	AY_FREE struct walk *w = calloc(1, sizeof(*w));
	int fd = openat(x->a->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (!w || fd < 0 || fstat(fd, &w->root) < 0 || fstat(x->s->dir, &w->store) < 0) {
		int saved = w ? errno : ENOMEM;
		if (fd >= 0)
			close(fd);
		return ay_err_errno(err, saved, "cannot walk %s", x->a->dir);
	}
	w->x = x;
	return walk_dir(w, fd, err);
}
