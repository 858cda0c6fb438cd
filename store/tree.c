/* SPDX-License-Identifier: MIT */
/*
 * Step 5 of the data's way: a manifest becomes a directory of hard links. Before:
 * diff/bundle made the new objects (store/apply.c leads through both); after:
 * store/build.c commits the tree durably, store/switch.c makes it current.
 *
 * Entries come depth first, so a stack of open directories is all that has to be
 * remembered. A directory gets its own metadata when it is left: all in it was made
 * by then, so nothing moves its mtime again, and a read-only mode does not lock
 * us out. Every name is made in a directory that we made ourselves in 0700 staging
 * and hold by fd: there is no path in which a symlink of the tree could stand.
 *
 * fds: FDS_MAX directories from the root down stay open; deeper only the current
 * one, found again from the last of those when the walk comes back up.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "store/tree_batch.h"

#define FDS_MAX   64
#define DEPTH_MAX (AY_PATH_MAX / 2 + 2) /* "/a/a/a..." and the root */

struct level {
	struct ay__tree_dir *d; /* its fd -1: closed for the time being */
	size_t path_len;
};

struct linker {
	const struct ay__tree_maker *m;
	struct ay__tree_batcher batcher;
	char path[AY_PATH_MAX + 1]; /* of the innermost level */
	size_t depth;
	struct level levels[DEPTH_MAX];
};

/* The innermost directory's fd, opened again when it was closed. */
static int top_fd(struct linker *l)
{
	struct level *top = &l->levels[l->depth - 1];

	if (top->d->fd < 0) {
		const struct level *from = &l->levels[FDS_MAX - 1];
		l->path[top->path_len] = '\0';
		top->d->fd =
			ay__open_beneath(from->d->fd, l->path + from->path_len + 1, O_RDONLY | O_DIRECTORY);
	}
	return top->d->fd;
}

static int push(struct linker *l, int parent, const char *name, const struct ay_entry *e, struct ay_err *err)
{
	struct level *v = &l->levels[l->depth];

	AY_ASSERT(l->depth < DEPTH_MAX);
	int fd = ay__make_dir(l->m->s->fs, parent, name, 0700, NULL);
	if (fd < 0)
		return ay_err_errno(err, -fd, "%s: cannot make the directory", e->path);
	struct ay__tree_dir *d = ay__tree_dir_new(fd, e);
	if (!d) {
		close(fd);
		return ay_err_errno(err, ENOMEM, "%s", e->path);
	}
	*v = (struct level){.d = d, .path_len = e->path_len};
	l->depth++;
	memcpy(l->path, e->path, e->path_len);
	l->path[e->path_len] = '\0';
	if (l->depth > FDS_MAX + 1) {
		close(v[-1].d->fd);
		v[-1].d->fd = -1;
	}
	return 0;
}

/* The innermost directory is left; who makes the last name in it finishes it. */
static int pop(struct linker *l, bool finish, struct ay_err *err)
{
	struct ay__tree_dir *d = l->levels[l->depth - 1].d;
	int r = finish ? ay__tree_flush(&l->batcher, err) : 0;

	if (r == 0 && finish && top_fd(l) < 0)
		r = ay_err_errno(err, -d->fd, "%s: cannot open the directory", d->e.path);
	l->depth--;
	int q = ay__tree_dir_left(&l->batcher, d, finish && r == 0, err);
	return r < 0 ? r : q;
}

static int link_entry(struct linker *l, const struct ay_entry *e, struct ay_err *err)
{
	size_t parent_len = ay_path_parent_len(e->path, e->path_len);
	int r = 0;

	if (parent_len == 0)
		return push(l, l->m->into, l->m->name, e, err);
	while (r == 0 && l->depth > 0 && l->levels[l->depth - 1].path_len > parent_len)
		r = pop(l, true, err);
	if (r < 0)
		return r;
	/* The reader has checked order and parents. */
	AY_ASSERT(l->depth > 0 && l->levels[l->depth - 1].path_len == parent_len &&
		  memcmp(l->path, e->path, parent_len) == 0);
	int dir = top_fd(l);
	if (dir < 0)
		return ay_err_errno(err, -dir, "%s: cannot open its directory", e->path);
	if (e->type == AY_ENTRY_DIR) {
		/* What waits belongs to this directory, and may lose its fd when the walk goes deeper. */
		if ((r = ay__tree_flush(&l->batcher, err)) < 0)
			return r;
		return push(l, dir, e->path + parent_len + (parent_len > 1), e, err);
	}
	return ay__tree_add(&l->batcher, l->levels[l->depth - 1].d, e, l->depth <= FDS_MAX, err);
}

int ay__tree_make(const struct ay__tree_maker *maker, struct ay_err *err)
{
	struct ay__fd_reader reader = {.fd = maker->manifest};
	AY_FREE struct linker *l = calloc(1, sizeof(*l));
	struct ay_entry e;
	int r;

	if (!l)
		return ay_err_errno(err, ENOMEM, "make a tree");
	struct ay_manifest_reader *m = ay_manifest_reader_new(ay__fd_read, &reader);
	l->m = maker;
	r = m ? 1 : ay_err_errno(err, ENOMEM, "read manifest");
	if (r > 0 && ay__tree_batcher_init(&l->batcher, maker) < 0)
		r = ay_err_errno(err, ENOMEM, "make a tree");
	while (r > 0 && (r = ay_manifest_next(m, &e, err)) > 0) {
		int q = link_entry(l, &e, err);
		if (q < 0)
			r = q;
	}
	while (l->depth > 0) {
		int q = pop(l, r == 0, err);
		if (r == 0)
			r = q;
	}
	ay_manifest_reader_free(m);
	return ay__tree_batcher_end(&l->batcher, r, err);
}

static int link_file(void *ctx, int dir, const char *name, const struct ay_entry *e, struct ay_err *err)
{
	struct ay__build *b = ctx;
	int r = ay__object_link(b->s, e, dir, name, b->st.dir, &b->touched, err);

	if (r == -ENOENT)
		return ay_err_set(err, AY_EBASE, "%s: its object is missing; `ayni fsck --heal` heals",
				  e->path);
	return r;
}

int ay__tree_link(struct ay__build *b, struct ay_err *err)
{
	AY_CLOSE int manifest = ay__open_beneath(b->tree, "manifest", O_RDONLY);
	const struct ay__tree_maker maker = {.s = b->s,
					     .manifest = manifest,
					     .into = b->tree,
					     .name = "root",
					     .file = link_file,
					     .ctx = b,
					     .crew = b->crew,
					     .like = b->like < 0 ? NULL : &b->like};

	if (manifest < 0)
		return ay_err_errno(err, -manifest, "cannot read the new manifest");
	return ay__tree_make(&maker, err);
}
