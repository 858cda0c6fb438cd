/* SPDX-License-Identifier: MIT */
/* Batches of names. Without a crew each is made where it is added, one after the other, as the manifest has them. */
#include "store/tree_batch.h"

#include <errno.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ay__tree_batch {
	struct ay__task task;
	struct ay__tree_batcher *b;
	struct ay__tree_dir *d;
	unsigned n;
	size_t used;
	struct ay_entry e[AY__BATCH_ENTRIES];
	alignas(max_align_t) uint8_t mem[AY__BATCH_BYTES];
};

/* ---- entries that outlive the reader's line ---- */

static size_t aligned(size_t n)
{
	return (n + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
}

size_t ay__entry_room(const struct ay_entry *e)
{
	size_t n = e->n_xattrs * sizeof(struct ay_xattr) + e->path_len + 1;

	if (e->type == AY_ENTRY_SYMLINK)
		n += e->target_len + 1;
	for (size_t i = 0; i < e->n_xattrs; i++)
		n += strlen(e->xattrs[i].name) + 1 + e->xattrs[i].value_len;
	return aligned(n);
}

static void *append(uint8_t **at, const void *data, size_t len)
{
	void *p = *at;

	if (len > 0)
		memcpy(p, data, len);
	*at += len;
	return p;
}

void ay__entry_copy(struct ay_entry *to, const struct ay_entry *e, void *mem)
{
	struct ay_xattr *x = mem;
	uint8_t *at = (uint8_t *)(x + e->n_xattrs);

	*to = *e;
	to->path = append(&at, e->path, e->path_len);
	*at++ = '\0';
	if (e->type == AY_ENTRY_SYMLINK) {
		to->target = append(&at, e->target, e->target_len);
		*at++ = '\0';
	}
	to->xattrs = e->n_xattrs ? x : NULL;
	for (size_t i = 0; i < e->n_xattrs; i++) {
		const struct ay_xattr *from = &e->xattrs[i];
		x[i] = *from;
		x[i].name = append(&at, from->name, strlen(from->name) + 1);
		x[i].value = append(&at, from->value, from->value_len);
	}
}

/* ---- a directory ---- */

struct ay__tree_dir *ay__tree_dir_new(int fd, const struct ay_entry *e)
{
	size_t head = aligned(sizeof(struct ay__tree_dir));
	struct ay__tree_dir *d = malloc(head + ay__entry_room(e));

	if (!d)
		return NULL;
	d->fd = fd;
	atomic_init(&d->users, 1);
	atomic_init(&d->finish, false);
	ay__entry_copy(&d->e, e, (uint8_t *)d + head);
	return d;
}

/* The last one turns off the light. */
static int release(struct ay__tree_batcher *b, struct ay__tree_dir *d, struct ay_err *err)
{
	struct ay__local_entry local;
	int r = 0;

	if (atomic_fetch_sub(&d->users, 1) != 1)
		return 0;
	if (atomic_load(&d->finish) && ay__failure_get(b->failure, NULL) == 0) {
		ay__entry_localise(b->m->s, &d->e, &local);
		r = ay__meta_set(b->m->s, d->fd, &local.e, err);
	}
	if (d->fd >= 0)
		close(d->fd);
	free(d);
	return r;
}

int ay__tree_dir_left(struct ay__tree_batcher *b, struct ay__tree_dir *d, bool finish, struct ay_err *err)
{
	atomic_store(&d->finish, finish);
	return release(b, d, err);
}

/* ---- batches ---- */

int ay__tree_batcher_init(struct ay__tree_batcher *b, const struct ay__tree_maker *m)
{
	*b = (struct ay__tree_batcher){.m = m, .failure = ay__failure_new()};
	return b->failure ? 0 : -ENOMEM;
}

/* @like: the directory where the same may be already, to be closed by who calls; -1: not opened yet; else it is not there. */
static int make(struct ay__tree_batcher *b, int dir, const struct ay_entry *e, int *like, struct ay_err *err)
{
	const char *name = strrchr(e->path, '/') + 1;
	int r = 0;

	if (e->type == AY_ENTRY_FILE)
		return b->m->file(b->m->ctx, dir, name, e, err);
	if (e->type == AY_ENTRY_SYMLINK && b->m->like) {
		struct ay__local_entry local;
		if (*like == -1)
			*like = ay__alike_open(*b->m->like, e);
		ay__entry_localise(b->m->s, e, &local);
		r = *like < 0 ? 0 : ay__alike_link(b->m->s, *like, dir, name, &local.e, err);
	}
	return r < 0 ? r : r > 0 ? 0 : ay__make_special(b->m->s, dir, name, e, err);
}

static int make_one(struct ay__tree_batcher *b, int dir, const struct ay_entry *e, struct ay_err *err)
{
	int like = -1;
	int r = make(b, dir, e, &like, err);

	if (like >= 0)
		close(like);
	return r;
}

static void run(struct ay__task *task)
{
	struct ay__tree_batch *x = (struct ay__tree_batch *)(void *)task;
	struct ay__tree_batcher *b = x->b;
	struct ay_err why = {0};
	int r = ay__failure_get(b->failure, NULL), like = -1;

	for (unsigned i = 0; i < x->n && r == 0; i++)
		r = make(b, x->d->fd, &x->e[i], &like, &why);
	if (like >= 0)
		close(like);
	if (r < 0)
		ay__failure_set(b->failure, r, &why);
	r = release(b, x->d, &why);
	if (r < 0)
		ay__failure_set(b->failure, r, &why);
	free(x);
}

int ay__tree_flush(struct ay__tree_batcher *b, struct ay_err *err)
{
	struct ay__tree_batch *x = b->now;

	b->now = NULL;
	if (x)
		ay__crew_give(b->m->crew, &x->task);
	return ay__failure_get(b->failure, err);
}

static struct ay__tree_batch *begin(struct ay__tree_batcher *b, struct ay__tree_dir *d)
{
	struct ay__tree_batch *x = malloc(sizeof(*x));

	if (!x)
		return NULL;
	x->task.run = run;
	x->b = b;
	x->d = d;
	x->n = 0;
	x->used = 0;
	atomic_fetch_add(&d->users, 1);
	return x;
}

int ay__tree_add(struct ay__tree_batcher *b, struct ay__tree_dir *d, const struct ay_entry *e, bool may_wait,
		 struct ay_err *err)
{
	size_t room = ay__entry_room(e);
	struct ay__tree_batch *x = b->now;
	int r;

	if (!b->m->crew || !may_wait || room > AY__BATCH_BYTES)
		return make_one(b, d->fd, e, err);
	if (x && (x->d != d || x->n == AY__BATCH_ENTRIES || room > AY__BATCH_BYTES - x->used)) {
		if ((r = ay__tree_flush(b, err)) < 0)
			return r;
		x = NULL;
	}
	if (!x && !(x = b->now = begin(b, d)))
		return ay_err_errno(err, ENOMEM, "%s", e->path);
	ay__entry_copy(&x->e[x->n++], e, x->mem + x->used);
	x->used += room;
	return 0;
}

int ay__tree_batcher_end(struct ay__tree_batcher *b, int r, struct ay_err *err)
{
	if (!b->failure)
		return r;
	if (b->now && r < 0) { /* nothing more is to be made */
		ay__failure_set(b->failure, r, err);
	}
	int q = ay__tree_flush(b, r < 0 ? NULL : err);
	ay__crew_wait(b->m->crew);
	if (r == 0)
		r = q < 0 ? q : ay__failure_get(b->failure, err);
	ay__failure_free(b->failure);
	return r;
}
