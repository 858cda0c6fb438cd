/* SPDX-License-Identifier: MIT */
/*
 * Looking at somebody's directory by the paths of a manifest: strictly beneath it, through no symlink. Paths come depth
 * first, so the parent's fd of the last one serves most of the next.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "store/adopt_internal.h"

void ay__looker_release(struct ay__looker *l)
{
	if (l->dir >= 0)
		close(l->dir);
	free(l->path);
	*l = (struct ay__looker){.root = -1, .dir = -1};
}

/* l->dir becomes the directory @path, or says with a negative value why not. */
static int change_dir(struct ay__looker *l, const char *path, size_t len)
{
	if (l->path && len == l->path_len && memcmp(l->path, path, len) == 0)
		return 0;
	if (!l->path || len + 1 > l->path_cap) {
		char *grown = realloc(l->path, len + 1);
		if (!grown)
			return -ENOMEM;
		l->path = grown;
		l->path_cap = len + 1;
	}
	if (l->dir >= 0)
		close(l->dir);
	memcpy(l->path, path, len);
	l->path[len] = '\0';
	l->path_len = len;
	l->dir = ay__open_beneath(l->root, len > 1 ? l->path + 1 : ".", O_RDONLY | O_DIRECTORY);
	if (ay__own_lack(l->dir))
		l->path_len = SIZE_MAX; /* the next one asks again */
	return 0;
}

int ay__look(struct ay__looker *l, const char *path, size_t path_len, int *dir, const char **name,
	     struct stat *st)
{
	size_t parent = ay_path_parent_len(path, path_len);
	int r = change_dir(l, path, parent ? parent : 1);

	if (r < 0 || l->dir < 0)
		return r < 0 ? r : l->dir;
	*dir = l->dir;
	*name = parent == 0 ? "." : path + parent + (parent > 1);
	return fstatat(l->dir, *name, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int ay__look_open(int dir, const char *name, const struct stat *st)
{
	struct stat now;
	AY_CLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &now) < 0)
		return -errno;
	return ay__stat_same(st, &now) ? ay_steal_fd(&fd) : AY_EBUSY;
}

static int guess_entry(struct ay__looker *l, const struct ay_entry *e, uint64_t *lacking, uint64_t *uncertain)
{
	const char *name;
	struct stat st;
	int dir;
	int r = ay__look(l, e->path, e->path_len, &dir, &name, &st);

	if (ay__own_lack(r))
		return r;
	if (r < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != e->size)
		*lacking += e->size;
	else if (st.st_mtim.tv_sec != e->mtime_s || (uint32_t)st.st_mtim.tv_nsec != e->mtime_ns)
		*uncertain += e->size;
	return 0;
}

int ay_adopt_guess(int dirfd, int manifest_fd, uint64_t *lacking, uint64_t *uncertain, struct ay_err *err)
{
	struct ay__fd_reader reader = {.fd = manifest_fd};
	struct ay_manifest_reader *m = ay_manifest_reader_new(ay__fd_read, &reader);
	struct ay__looker look = {.root = dirfd, .dir = -1};
	struct ay_entry e;
	int r = m ? 1 : ay_err_errno(err, ENOMEM, "read manifest");

	*lacking = *uncertain = 0;
	while (r > 0 && (r = ay_manifest_next(m, &e, err)) > 0) {
		int q = e.type == AY_ENTRY_FILE ? guess_entry(&look, &e, lacking, uncertain) : 0;
		if (q < 0)
			r = ay_err_errno(err, -q, "look at %s", e.path);
	}
	ay_manifest_reader_free(m);
	ay__looker_release(&look);
	return r;
}
