/* SPDX-License-Identifier: MIT */
/*
 * A tree held against its manifest, path by path, depth first: the stack of open
 * directories is all that is remembered (as in store/tree.c, which made it). What is
 * there and not in the manifest is seen by counting: only where a directory has more
 * names than the manifest gave it, the manifest is read once more for their sake.
 *
 * Healing makes each thing in staging and moves it to its place in one rename, so
 * that a tree in use has the old or the new under each name, and nothing of ours
 * is left in it by a power cut. A directory that was touched gets its metadata again when it is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "store/fsck_internal.h"
#include "store/tree_batch.h"

#define FDS_MAX   64
#define DEPTH_MAX (AY_PATH_MAX / 2 + 2)
#define EXTRA_MAX 64 /* names told one by one in a directory */

struct level {
	int fd;
	size_t path_len;
	uint64_t expected; /* names that the manifest gave it so far */
	bool changed;      /* we made or moved a name in it, or its metadata is wrong */
	struct ay_entry e;
	void *mem; /* e's attributes */
};

struct walk {
	struct ay__fsck_tree *t;
	char path[AY_PATH_MAX + 1];
	size_t depth;
	char gone[AY_PATH_MAX +
		  1]; /* a directory that is not there and stays so: nothing below it is looked for */
	size_t gone_len;
	struct level levels[DEPTH_MAX];
};

static void tell_path(struct walk *w, const char *path, bool done, const char *why)
{
	const struct ay__fsck_tree *t = w->t;

	ay__fsck_tell(t->k,
		      &(struct ay_fsck_finding){.what = AY_FSCK_PATH,
						.outcome = ay__fsck_outcome(t->k, done),
						.branch = t->k->branches[t->branch].name,
						.serial = t->serial,
						.path = path},
		      "%s", why);
}

/* ---- the stack ---- */

/* What @e points to is the reader's until its next line. */
static int keep(const struct ay_entry *e, struct level *l)
{
	l->mem = malloc(ay__entry_room(e));
	if (!l->mem)
		return -ENOMEM;
	ay__entry_copy(&l->e, e, l->mem);
	return 0;
}

static int top_fd(struct walk *w)
{
	struct level *top = &w->levels[w->depth - 1];

	if (top->fd < 0) {
		const struct level *from = &w->levels[FDS_MAX - 1];
		w->path[top->path_len] = '\0';
		top->fd = ay__open_beneath(from->fd, w->path + from->path_len + 1, O_RDONLY | O_DIRECTORY);
	}
	return top->fd;
}

/* ---- names that should not be there ---- */

struct names {
	char **list;
	size_t n;
};

static int cmp_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names that the manifest gives the directory @path. */
static int read_names(const struct ay__fsck_tree *t, const char *path, size_t path_len, struct names *out)
{
	struct ay__fd_reader in = {.fd = t->manifest};
	struct ay_manifest_reader *m = ay_manifest_reader_new(ay__fd_read, &in);
	struct ay_entry e;
	int r = m ? 0 : -ENOMEM;

	while (r == 0 && ay_manifest_next(m, &e, NULL) > 0) {
		size_t parent = ay_path_parent_len(e.path, e.path_len);
		if (parent != path_len || memcmp(e.path, path, parent) != 0)
			continue;
		char **grown = reallocarray(out->list, out->n + 1, sizeof(*grown));
		if (grown)
			out->list = grown;
		if (!grown || !(out->list[out->n] = strdup(e.path + parent + (parent > 1))))
			r = -ENOMEM;
		else
			out->n++;
	}
	ay_manifest_reader_free(m);
	if (r == 0 && out->n > 1)
		qsort(out->list, out->n, sizeof(*out->list), cmp_names);
	return r;
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static DIR *list(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		close(fd);
	return d;
}

static int drop_extras(struct walk *w, struct level *v, int dir, const struct names *known)
{
	AY_CLOSEDIR DIR *d = list(dir);
	struct dirent *e;
	unsigned n = 0;

	if (!d)
		ay__fsck_lack(w->t->k, -errno);
	while (d && (e = readdir(d))) {
		char full[AY_PATH_MAX + 300];
		char *name = e->d_name;
		if (is_dot(name) ||
		    (known->n > 0 && bsearch(&name, known->list, known->n, sizeof(char *), cmp_names)))
			continue;
		bool done = w->t->k->heal && ay__remove_tree(w->t->k->s->fs, dir, name) == 0;
		v->changed |= done;
		snprintf(full, sizeof(full), "%s%s%s", w->path, v->path_len > 1 ? "/" : "", name);
		if (++n <= EXTRA_MAX)
			tell_path(w, full, done, "is there but not in the manifest");
	}
	return 0;
}

static int check_extras(struct walk *w, struct level *v, int dir, struct ay_err *err)
{
	struct names known = {0};
	uint64_t n = 0;
	int r = 0;
	{
		AY_CLOSEDIR DIR *d = list(dir);
		struct dirent *e;
		if (!d)
			ay__fsck_lack(w->t->k, -errno);
		while (d && (e = readdir(d)))
			n += !is_dot(e->d_name);
	}
	if (n == v->expected || w->t->k->collect)
		return 0;
	w->path[v->path_len] = '\0';
	r = read_names(w->t, w->path, v->path_len, &known);
	if (r == 0)
		r = drop_extras(w, v, dir, &known);
	for (size_t i = 0; i < known.n; i++)
		free(known.list[i]);
	free(known.list);
	return r < 0 ? ay_err_errno(err, -r, "fsck") : 0;
}

/* ---- directories ---- */

/* Metadata of the directory that is left, once nothing moves its mtime any more. */
static int settle(struct walk *w, struct level *v, int fd, struct ay_err *err)
{
	struct ay__fsck *k = w->t->k;
	struct ay__local_entry local;
	struct stat st;

	ay__entry_localise(k->s, &v->e, &local);
	if (k->collect)
		return 0;
	if (fstat(fd, &st) < 0)
		return ay_err_errno(err, errno, "%s", w->path);
	int is = ay__fsck_meta_is(k, fd, -1, "", &st, &local.e);
	if (ay__fsck_lack(k, is))
		return ay_err_errno(err, -is, "%s", w->path);
	if (is > 0)
		return 0;
	bool done = false, told = v->changed; /* what we changed ourselves is no news */
	if (k->heal) {
		int r = ay__meta_set(k->s, fd, &local.e, err);
		if (r < 0)
			return r;
		is = fstat(fd, &st) < 0 ? 0 : ay__fsck_meta_is(k, fd, -1, "", &st, &local.e);
		if (ay__fsck_lack(k, is))
			return ay_err_errno(err, -is, "%s", w->path);
		done = is > 0;
	}
	if (!told || (k->heal && !done))
		tell_path(w, w->path, done,
			  k->heal && !done
				  ? "has an attribute that the manifest does not give it: remove it by hand"
				  : "mode, owner, time or attributes are not what the manifest says");
	return 0;
}

static int pop(struct walk *w, bool finish, struct ay_err *err)
{
	struct level *v = &w->levels[w->depth - 1];
	int r = 0;

	if (finish) {
		int fd = top_fd(w);
		w->path[v->path_len] = '\0';
		v->e.path = w->path;
		r = fd < 0 ? ay_err_errno(err, -fd, "%s", w->path) : check_extras(w, v, fd, err);
		if (r == 0)
			r = settle(w, v, fd, err);
	}
	if (v->fd >= 0)
		close(v->fd);
	free(v->mem);
	w->depth--;
	return r;
}

/* A new empty directory in the place of what is there. */
static int make_dir(struct walk *w, int parent, const char *name)
{
	struct ay__fsck *k = w->t->k;
	char tmp[17];

	ay__random_name(tmp);
	int fd = ay__make_dir(k->s->fs, k->st.dir, tmp, 0700, NULL);
	if (fd < 0)
		return fd;
	int r = ay__fsck_place(k, tmp, parent, name);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

static int push(struct walk *w, int parent, const char *name, const struct ay_entry *e, struct ay_err *err)
{
	struct ay__fsck *k = w->t->k;
	struct level *v = &w->levels[w->depth];
	bool made = false;
	struct stat st;

	AY_ASSERT(w->depth < DEPTH_MAX);
	int fd = ay__open_beneath(parent, name, O_RDONLY | O_DIRECTORY);
	if (fd == -EACCES && k->heal && fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(st.st_mode)) { /* a plain user's directory that is closed to himself */
		AY_CLOSE int path = ay__open_beneath(parent, name, O_PATH | O_DIRECTORY);
		if (path >= 0 && k->s->fs->ops->chmod(k->s->fs, path, 0700) == 0)
			fd = ay__open_beneath(parent, name, O_RDONLY | O_DIRECTORY);
	}
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP) {
		const char *why = fd == -ENOENT ? "is missing" : "is not a directory";
		if (k->heal) {
			fd = make_dir(w, parent, name);
			if (fd < 0)
				return ay_err_errno(err, -fd, "%s: cannot make the directory", e->path);
			made = true;
			if (w->depth > 0)
				w->levels[w->depth - 1].changed = true;
		}
		if (!k->collect)
			tell_path(w, e->path, made, why);
		if (!made && !k->collect) {
			memcpy(w->gone, e->path, e->path_len + 1);
			w->gone_len = e->path_len;
			return 0;
		}
	}
	if (ay__fsck_lack(k, fd))
		return ay_err_errno(err, -fd, "%s", e->path);
	if (fd < 0 && !k->collect) {
		char why[64];
		snprintf(why, sizeof(why), "cannot be opened: %s", ay_strerror(fd));
		tell_path(w, e->path, false, why);
		memcpy(w->gone, e->path, e->path_len + 1);
		w->gone_len = e->path_len;
		return 0;
	}
	if (fd < 0) { /* collecting: everything below is missing */
		memcpy(w->gone, e->path, e->path_len + 1);
		w->gone_len = e->path_len;
		return 0;
	}
	*v = (struct level){.fd = fd, .path_len = e->path_len, .e = *e, .changed = made};
	w->depth++;
	memcpy(w->path, e->path, e->path_len);
	w->path[e->path_len] = '\0';
	if (keep(e, v) < 0)
		return ay_err_errno(err, ENOMEM, "%s", e->path);
	if (w->depth > FDS_MAX + 1) {
		close(v[-1].fd);
		v[-1].fd = -1;
	}
	return 0;
}

/* ---- links, devices, fifos ---- */

/* As ay__fsck_meta_is() says. */
static int special_is(const struct ay__fsck *k, int dir, const char *name, const struct ay_entry *e)
{
	char target[AY_PATH_MAX + 1];
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	mode_t type = e->type == AY_ENTRY_SYMLINK ? S_IFLNK
		      : e->type == AY_ENTRY_FIFO  ? S_IFIFO
		      : e->type == AY_ENTRY_CHAR  ? S_IFCHR
						  : S_IFBLK;
	if ((st.st_mode & S_IFMT) != type)
		return 0;
	if (type == S_IFLNK) {
		ssize_t n = readlinkat(dir, name, target, sizeof(target));
		if (n < 0 || (size_t)n != e->target_len || memcmp(target, e->target, e->target_len) != 0)
			return 0;
	}
	if ((type == S_IFCHR || type == S_IFBLK) &&
	    (major(st.st_rdev) != e->dev_major || minor(st.st_rdev) != e->dev_minor))
		return 0;
	return ay__fsck_meta_is(k, -1, dir, name, &st, e);
}

static int check_special(struct walk *w, int dir, const char *name, const struct ay_entry *e,
			 struct ay_err *err)
{
	struct ay__fsck *k = w->t->k;
	struct ay__local_entry local;
	struct stat st;

	ay__entry_localise(k->s, e, &local);
	int is = special_is(k, dir, name, &local.e);
	if (ay__fsck_lack(k, is))
		return ay_err_errno(err, -is, "%s", e->path);
	if (is > 0 || k->collect)
		return 0;
	bool missing = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0, done = false;
	if (k->heal) {
		char tmp[17];
		ay__random_name(tmp);
		int r = ay__make_special(k->s, k->st.dir, tmp, e, err);
		if (r < 0)
			return r;
		if ((r = ay__fsck_place(k, tmp, dir, name)) < 0)
			return ay_err_errno(err, -r, "%s: cannot replace it", e->path);
		w->levels[w->depth - 1].changed = done = true;
	}
	tell_path(w, e->path, done, missing ? "is missing" : "was changed");
	return 0;
}

/* ---- the walk ---- */

/* Is @e below the directory that is not there? */
static bool is_gone(struct walk *w, const struct ay_entry *e)
{
	if (w->gone_len == 0)
		return false;
	if (e->path_len > w->gone_len && memcmp(e->path, w->gone, w->gone_len) == 0 &&
	    (w->gone_len == 1 || e->path[w->gone_len] == '/'))
		return true;
	w->gone_len = 0;
	return false;
}

static int entry(struct walk *w, const struct ay_entry *e, struct ay_err *err)
{
	size_t parent_len = ay_path_parent_len(e->path, e->path_len);
	bool changed = false;
	int r = 0;

	if (is_gone(w, e)) {
		/* Its content is needed all the same, once the directory is made. */
		return w->t->k->collect && e->type == AY_ENTRY_FILE
			       ? ay__fsck_file(w->t, -1, "", e, &changed, err)
			       : 0;
	}
	if (parent_len == 0)
		return push(w, w->t->dir, "root", e, err);
	while (r == 0 && w->depth > 0 && w->levels[w->depth - 1].path_len > parent_len)
		r = pop(w, true, err);
	if (r < 0)
		return r;
	AY_ASSERT(w->depth > 0 && w->levels[w->depth - 1].path_len == parent_len);
	if (!ay__entry_kept(w->t->k->s, e))
		return 0;
	struct level *top = &w->levels[w->depth - 1];
	const char *name = e->path + parent_len + (parent_len > 1);
	top->expected++;
	int dir = top_fd(w);
	if (dir < 0)
		return ay_err_errno(err, -dir, "%s: cannot open its directory", e->path);
	if (e->type == AY_ENTRY_DIR)
		return push(w, dir, name, e, err);
	if (e->type != AY_ENTRY_FILE)
		return check_special(w, dir, name, e, err);
	r = ay__fsck_file(w->t, dir, name, e, &changed, err);
	top->changed |= changed;
	return r;
}

int ay__fsck_walk(struct ay__fsck_tree *t, struct ay_err *err)
{
	struct ay__fd_reader in = {.fd = t->manifest};
	AY_FREE struct walk *w = calloc(1, sizeof(*w));
	struct ay_manifest_reader *m = w ? ay_manifest_reader_new(ay__fd_read, &in) : NULL;
	struct ay_entry e;
	int r = m ? 1 : ay_err_errno(err, ENOMEM, "fsck");

	if (w)
		w->t = t;
	while (r > 0 && (r = ay_manifest_next(m, &e, err)) > 0) {
		if (!t->k->heal) /* the walk that comes first */
			t->k->res->entries++;
		int q = entry(w, &e, err);
		if (q < 0)
			r = q;
	}
	while (w && w->depth > 0) {
		int q = pop(w, r == 0, err);
		if (r == 0)
			r = q;
	}
	ay_manifest_reader_free(m);
	return r < 0 ? ay_err_wrap(err, r, "%s %u", t->k->branches[t->branch].name, t->serial) : 0;
}
