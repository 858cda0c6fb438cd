/* SPDX-License-Identifier: MIT */
/*
 * Which trees are here. A tree's directory is complete because it is there at all
 * (store/build.c), so these questions are answered by listing and never repair anything.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "store/tree_internal.h"

#define CURRENT_TARGET "/root" /* `current` -> SERIAL/root */

void ay__serial_name(uint32_t serial, char out[AY__SERIAL_NAME_MAX])
{
	snprintf(out, AY__SERIAL_NAME_MAX, "%u", serial);
}

bool ay__serial_parse(const char *name, uint32_t *serial)
{
	uint64_t v = 0;

	if (name[0] < '1' || name[0] > '9')
		return false;
	for (; *name; name++) {
		if (*name < '0' || *name > '9' || (v = v * 10 + (uint64_t)(*name - '0')) > AY_SERIAL_MAX)
			return false;
	}
	*serial = (uint32_t)v;
	return true;
}

int ay__write_file(struct ay_fs *fs, int dirfd, const char *name, const void *data, size_t len)
{
	AY_CLOSE int fd = fs->ops->open(fs, dirfd, name, O_WRONLY | O_CREAT | O_EXCL, 0644);

	if (fd < 0)
		return fd;
	int r = ay__write_all(fs, fd, data, len, 0);
	return r < 0 ? r : fs->ops->chmod(fs, fd, 0644);
}

int ay__branch_open(struct ay_store *s, const char *branch, bool create, struct ay_err *err)
{
	struct ay_buf name;
	int r = ay_branch_check(branch, strlen(branch));

	if (r < 0)
		return ay_err_set(err, AY_EUSAGE, "\"%s\" is not a branch name (a-z 0-9 . _ - and / between)",
				  branch);
	ay_buf_init(&name, 1024);
	r = ay_percent_name(&name, branch);
	const char *file = ay_buf_cstr(&name);
	if (r == 0 && !file)
		r = ay_buf_status(&name);
	int fd = -1;
	if (r == 0)
		fd = create ? ay__make_dir(s->fs, s->branches, file, 0755, NULL)
			    : ay__open_beneath(s->branches, file, O_RDONLY | O_DIRECTORY);
	ay_buf_release(&name);
	if (r < 0)
		return ay_err_wrap(err, r, "branch %s", branch);
	if (fd == -ENOENT)
		return ay_err_set(err, -ENOENT, "no branch %s in %s", branch, s->path);
	return fd < 0 ? ay_err_errno(err, -fd, "cannot open branch %s in %s", branch, s->path) : fd;
}

int ay__branch_lock(struct ay_store *s, int branch_dir, const char *name, int op, struct ay_err *err)
{
	int fd = s->fs->ops->open(s->fs, branch_dir, name, O_RDWR | O_CREAT, 0600);
	int r = fd < 0 ? fd : ay__lock(fd, op);

	if (r == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return ay_err_errno(err, -r, "cannot lock %s of a branch in %s", name, s->path);
}

int ay__branch_lock_switch(struct ay_store *s, const char *branch, int *dir, struct ay_err *err)
{
	int r = ay__store_writable(s, err);

	if (r < 0)
		return r;
	*dir = ay__branch_open(s, branch, false, err);
	return *dir < 0 ? *dir : ay__branch_lock(s, *dir, ".switch", LOCK_EX, err);
}

/* ---- listing ---- */

void ay_store_names_free(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

/* A branch counts once it has a tree: a first apply that failed leaves its lock file only. 1, 0, -errno. */
static int has_tree(int branches, const char *file)
{
	AY_CLOSE int fd = ay__open_beneath(branches, file, O_RDONLY | O_DIRECTORY);
	AY_CLOSEDIR DIR *d = fd < 0 ? NULL : ay__list_dir(fd);
	struct dirent *e;
	uint32_t serial;
	int r = 0;

	if (!d)
		return fd >= 0 ? -errno : ay__not_there(fd) ? 0 : fd;
	while ((e = ay__dir_next(d, &r))) {
		if (ay__serial_parse(e->d_name, &serial))
			return 1;
	}
	return r;
}

static int add_name(char ***names, size_t *n, const char *file)
{
	struct ay_buf b;
	char **grown;

	ay_buf_init(&b, 1024);
	int r = ay_percent_unname(&b, file);
	const char *name = r == 0 ? ay_buf_cstr(&b) : NULL;
	if (!name || ay_branch_check(name, strlen(name)) < 0) {
		ay_buf_release(&b);
		return r == -ENOMEM ? r : 0; /* else it is not ours */
	}
	grown = realloc(*names, (*n + 1) * sizeof(char *));
	if (grown) {
		*names = grown;
		grown[*n] = strdup(name);
	}
	ay_buf_release(&b);
	if (!grown || !grown[*n])
		return -ENOMEM;
	(*n)++;
	return 0;
}

static int cmp_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int ay_store_branches(struct ay_store *s, char ***names, size_t *n, struct ay_err *err)
{
	AY_CLOSEDIR DIR *d = ay__list_dir(s->branches);
	struct dirent *e;
	int r = 0, end = 0;

	*names = NULL;
	*n = 0;
	if (!d)
		return ay_err_errno(err, errno, "cannot list the branches of %s", s->path);
	while (r == 0 && (e = ay__dir_next(d, &end))) {
		int has = e->d_name[0] != '.' ? has_tree(s->branches, e->d_name) : 0;
		r = has > 0 ? add_name(names, n, e->d_name) : has;
	}
	r = r ? r : end;
	if (r < 0) {
		ay_store_names_free(*names, *n);
		*names = NULL;
		*n = 0;
		return ay_err_errno(err, -r, "cannot list the branches of %s", s->path);
	}
	if (*n > 1)
		qsort(*names, *n, sizeof(char *), cmp_names);
	return 0;
}

int ay__release_read(int tree, struct ay_release *out, struct ay_digest *digest, struct ay_err *err)
{
	AY_FREE uint8_t *data = NULL;
	struct ay_envelope env;
	size_t len;
	int r = ay__read_file(tree, "release", AY_ENVELOPE_MAX, &data, &len, err);

	if (r < 0)
		return r;
	ay_digest_mem(data, len, digest);
	if ((r = ay_envelope_parse(data, len, &env, err)) < 0)
		return r;
	return ay_release_parse(env.text.data, env.text.len, out, err);
}

static int cmp_trees(const void *a, const void *b)
{
	const struct ay_tree_info *x = a, *y = b;
	return x->serial < y->serial ? -1 : x->serial > y->serial;
}

/* One more tree in @out; its directory is @name in @dir. */
static int add_tree(struct ay_tree_info **out, size_t *n, int dir, const char *name, uint32_t serial,
		    uint32_t current, struct ay_err *err)
{
	AY_CLOSE int tree = ay__open_beneath(dir, name, O_RDONLY | O_DIRECTORY);

	if (tree == -ENOENT)
		return 0; /* the collector was faster */
	if (tree < 0)
		return ay_err_errno(err, -tree, "cannot open tree %s", name);
	struct ay_tree_info *grown = realloc(*out, (*n + 1) * sizeof(**out));
	if (!grown)
		return ay_err_errno(err, ENOMEM, "list trees");
	*out = grown;
	struct ay_tree_info *t = &grown[*n];
	memset(t, 0, sizeof(*t));
	int r = ay__release_read(tree, &t->release, &t->release_digest, err);
	if (r < 0)
		return ay_err_wrap(err, r, "tree %s", name);
	t->serial = serial;
	t->current = serial == current;
	(*n)++;
	return 0;
}

int ay_store_trees(struct ay_store *s, const char *branch, struct ay_tree_info **out, size_t *n,
		   struct ay_err *err)
{
	AY_CLOSE int dir = ay__branch_open(s, branch, false, NULL);
	uint32_t current = 0, serial;
	struct dirent *e;

	*out = NULL;
	*n = 0;
	if (dir == -ENOENT)
		return 0;
	if (dir < 0)
		return ay_err_errno(err, -dir, "cannot open branch %s in %s", branch, s->path);
	int r = ay__branch_current_or_0(s, dir, branch, &current, err);
	if (r < 0)
		return r;
	AY_CLOSEDIR DIR *d = ay__list_dir(dir);
	if (!d)
		return ay_err_errno(err, errno, "cannot list the trees of %s", branch);
	int end = r = 0;
	while (r == 0 && (e = ay__dir_next(d, &end))) {
		if (ay__serial_parse(e->d_name, &serial))
			r = add_tree(out, n, dir, e->d_name, serial, current, err);
	}
	if (r == 0 && end < 0)
		r = ay_err_errno(err, -end, "cannot list the trees");
	if (r < 0) {
		free(*out);
		*out = NULL;
		*n = 0;
		return ay_err_wrap(err, r, "branch %s", branch);
	}
	if (*n > 1)
		qsort(*out, *n, sizeof(**out), cmp_trees);
	return 0;
}

/* ---- one tree ---- */

int ay__branch_current(struct ay_store *s, int branch_dir, const char *branch, uint32_t *serial,
		       struct ay_err *err)
{
	char target[64];
	ssize_t n = readlinkat(branch_dir, "current", target, sizeof(target) - 1);

	if (n < 0 && errno == ENOENT)
		return ay_err_set(err, AY_ENOTHING, "branch %s in %s has no current tree yet", branch,
				  s->path);
	if (n < 0)
		return ay_err_errno(err, errno, "cannot read `current` of branch %s", branch);
	target[n] = '\0';
	size_t tail = strlen(CURRENT_TARGET);
	if ((size_t)n > tail && strcmp(target + n - tail, CURRENT_TARGET) == 0) {
		target[(size_t)n - tail] = '\0';
		if (ay__serial_parse(target, serial))
			return 0;
	}
	return ay_err_set(err, AY_ESTORE, "`current` of branch %s in %s does not name a tree", branch,
			  s->path);
}

int ay__branch_current_or_0(struct ay_store *s, int branch_dir, const char *branch, uint32_t *serial,
			    struct ay_err *err)
{
	struct ay_err why = {0}; /* having none is no failure, so it must leave no sentence */
	int r = ay__branch_current(s, branch_dir, branch, serial, &why);

	if (r == AY_ENOTHING) {
		*serial = 0;
		return 0;
	}
	if (r < 0 && err)
		*err = why;
	return r;
}

int ay_store_current(struct ay_store *s, const char *branch, uint32_t *serial, struct ay_err *err)
{
	AY_CLOSE int dir = ay__branch_open(s, branch, false, err);

	if (dir == -ENOENT)
		return ay_err_set(err, AY_ENOTHING, "branch %s in %s has no tree yet", branch, s->path);
	return dir < 0 ? dir : ay__branch_current(s, dir, branch, serial, err);
}

static int open_in_tree(struct ay_store *s, const char *branch, uint32_t serial, const char *what, int flags,
			struct ay_err *err)
{
	char path[AY__SERIAL_NAME_MAX + 16];
	AY_CLOSE int dir = ay__branch_open(s, branch, false, err);

	if (dir < 0)
		return dir;
	snprintf(path, sizeof(path), "%u/%s", serial, what);
	int fd = ay__open_beneath(dir, path, flags);
	if (fd == -ENOENT)
		return ay_err_set(err, -ENOENT, "%s %u is not in %s", branch, serial, s->path);
	return fd < 0 ? ay_err_errno(err, -fd, "cannot open %s of %s %u", what, branch, serial) : fd;
}

int ay_store_open_tree(struct ay_store *s, const char *branch, uint32_t serial, int *fd, struct ay_err *err)
{
	int r = open_in_tree(s, branch, serial, "root", O_PATH | O_DIRECTORY, err);

	*fd = r;
	return r < 0 ? r : 0;
}

int ay_store_manifest(struct ay_store *s, const char *branch, uint32_t serial, int *fd, struct ay_err *err)
{
	int r = open_in_tree(s, branch, serial, "manifest", O_RDONLY, err);

	*fd = r;
	return r < 0 ? r : 0;
}

int ay_store_release(struct ay_store *s, const char *branch, uint32_t serial, uint8_t **data, size_t *len,
		     struct ay_err *err)
{
	char path[AY__SERIAL_NAME_MAX + 16];
	AY_CLOSE int dir = ay__branch_open(s, branch, false, err);

	if (dir < 0)
		return dir;
	snprintf(path, sizeof(path), "%u/release", serial);
	int r = ay__read_file(dir, path, AY_ENVELOPE_MAX, data, len, err);
	return r < 0 ? ay_err_wrap(err, r, "%s %u in %s", branch, serial, s->path) : 0;
}
