/* SPDX-License-Identifier: MIT */
/*
 * Checking a tree out. It grows in a directory of our own beside its place, which nobody else can enter, and gets its
 * name by one rename, after it is on the disk: who owns the directory above cannot
 * slip anything into what we make, and after a power cut there is a whole tree or none.
 */
#include "store/checkout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/adopt_internal.h"
#include "store/beside.h"
#include "store/tree_internal.h"

struct checkout {
	const struct ay_checkout *c;
	struct ay_store *s;   /* where it comes from */
	struct ay_store view; /* the same, with the rules of whom the new files belong to */
	struct ay__looker from;
};

static int copy(struct checkout *co, int from, int dir, const char *name, const struct ay_entry *e,
		struct ay_err *err)
{
	struct ay_fs *fs = co->s->fs;
	struct ay__local_entry local;
	AY_CLOSE int to = fs->ops->open(fs, dir, name, O_RDWR | O_CREAT | O_EXCL, 0600);

	if (to < 0)
		return ay_err_errno(err, -to, "%s: cannot make it", e->path);
	/* Blocks are shared without reading them; what has to be read is checked on the way. */
	int r = fs->ops->reflink(fs, to, from);
	if (r < 0)
		r = ay__copy_file(co->s, from, to, e->size, &e->digest, err);
	if (r == AY_EDIGEST)
		return ay_err_set(err, AY_EBASE,
				  "%s: the store's file was changed; `ayni fsck` tells what else is",
				  e->path);
	if (r < 0)
		return ay_err_wrap(err, r, "%s", e->path);
	ay__entry_localise(&co->view, e, &local);
	return ay__meta_set(&co->view, to, &local.e, err);
}

static int on_file(void *ctx, int dir, const char *name, const struct ay_entry *e, struct ay_err *err)
{
	struct checkout *co = ctx;
	struct ay__local_entry local;
	const char *from_name;
	struct stat st;
	int from_dir;
	int r = ay__look(&co->from, e->path, e->path_len, &from_dir, &from_name, &st);

	if (r < 0)
		return ay_err_errno(err, -r, "%s: in the store's tree", e->path);
	ay__entry_localise(co->s, e, &local);
	if (!ay__object_intact(co->s, &st, &local.e))
		return ay_err_set(err, AY_EBASE,
				  "%s: the store's file was changed; `ayni fsck` tells what else is",
				  e->path);
	if (co->c->link) {
		r = co->s->fs->ops->link(co->s->fs, from_dir, from_name, dir, name);
		if (r == 0)
			return 0;
		if (r != -EMLINK) /* it has as many as an inode can have: a copy does too */
			return ay_err_errno(err, -r, "%s: cannot link it%s", e->path,
					    r == -EXDEV   ? "; the store is on another file system"
					    : r == -EPERM ? "; the kernel lets only its owner"
							  : "");
	}
	AY_CLOSE int from = ay__look_open(from_dir, from_name, &st);
	if (from < 0)
		return ay_err_errno(err, from == AY_EBUSY ? EBUSY : -from, "%s: in the store's tree",
				    e->path);
	return copy(co, from, dir, name, e, err);
}

/* Of whom plain users are not: what they cannot keep is said before the work. */
static int tell_losses(struct checkout *co, int manifest, struct ay_err *err)
{
	AY_FREE struct ay_losses *l = calloc(1, sizeof(*l));
	struct ay__fd_reader reader = {.fd = manifest};
	struct ay_manifest_reader *m = ay_manifest_reader_new(ay__fd_read, &reader);
	struct ay_entry e;
	int r = l && m ? 1 : ay_err_errno(err, ENOMEM, "read manifest");

	while (r > 0 && (r = ay_manifest_next(m, &e, err)) > 0)
		ay_losses_add(l, &e);
	ay_manifest_reader_free(m);
	if (r == 0 && co->s->on_losses && ay_losses_any(l))
		co->s->on_losses(co->s->on_losses_ctx, co->c->branch, co->c->use->serial, l);
	return r;
}

int ay_checkout_check_place(const struct ay_store *s, int parent, const char *name, struct ay_err *err)
{
	int r = ay__lies_in(parent, s->dir);

	if (r < 0)
		return ay_err_errno(err, -r, "cannot find out where %s lies", name);
	return r ? ay_err_set(err, AY_ESTATE, "%s would lie in the store %s itself: name a place outside",
			      name, s->path)
		 : 0;
}

int ay_store_checkout(struct ay_store *s, const struct ay_checkout *c, struct ay_err *err)
{
	struct checkout co = {.c = c, .s = s, .view = *s, .from = {.root = c->use->root, .dir = -1}};
	AY_CLOSE int manifest = ay__open_beneath(c->use->tree, "manifest", O_RDONLY);
	struct stat st;

	if (manifest < 0)
		return ay_err_errno(err, -manifest, "cannot read the manifest of %s %u", c->branch,
				    c->use->serial);
	if (fstatat(c->parent, c->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return ay_err_errno(err, EEXIST, "%s", c->name);
	int r = ay_checkout_check_place(s, c->parent, c->name, err);
	if (r < 0)
		return r;
	co.view.owner_me = s->owner_me || geteuid() != 0;
	r = co.view.owner_me && !s->owner_me ? tell_losses(&co, manifest, err) : 0;
	const struct ay__tree_maker maker = {
		.s = &co.view, .manifest = manifest, .name = "root", .file = on_file, .ctx = &co};
	struct ay__beside beside = {.stage = -1};
	if (r == 0 && (r = ay__beside_begin(&beside, s->fs, c->parent, c->name, err)) == 0) {
		struct ay__tree_maker m = maker;
		m.into = beside.stage;
		r = ay__tree_make(&m, err);
	}
	if (r == 0)
		r = ay__beside_commit(&beside, "root", c->no_sync ? AY__BESIDE_NO_SYNC : 0, err);
	ay__beside_end(&beside);
	ay__looker_release(&co.from);
	return r < 0 ? ay_err_wrap(err, r, "check out %s %u", c->branch, c->use->serial) : 0;
}
