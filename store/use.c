/* SPDX-License-Identifier: MIT */
/*
 * Taking a tree into use. First the lock, then a second look at the name: whoever removes a
 * tree renames it first and asks for the lock then, so one of the two sees the other.
 */
#include "store/use.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "store/tree_internal.h"

/* How often a switch and a removal may come between reading `current` and locking what it names. */
#define TRIES 16

void ay_use_source(const struct stat *root, char out[AY_USE_SOURCE_MAX])
{
	snprintf(out, AY_USE_SOURCE_MAX, "ayni:%x:%x:%llx", major(root->st_dev), minor(root->st_dev),
		 (unsigned long long)root->st_ino);
}

void ay_use_release(struct ay_use *u)
{
	if (u->tree >= 0)
		close(u->tree);
	if (u->root >= 0)
		close(u->root);
	if (u->ref >= 0)
		close(u->ref);
	*u = AY_USE_NONE;
}

/* 0; -ENOENT it is not there, or not any more; AY_ESTORE; -errno. */
static int take(int branch, uint32_t serial, struct ay_use *out)
{
	char name[AY__SERIAL_NAME_MAX];
	struct stat held, named;

	ay__serial_name(serial, name);
	AY_CLOSE int tree = ay__open_beneath(branch, name, O_RDONLY | O_DIRECTORY);
	if (tree < 0)
		return tree;
	AY_CLOSE int ref = ay__open_beneath(tree, ".ref", O_RDONLY);
	if (ref < 0)
		return ref == -ENOENT ? AY_ESTORE : ref;
	int r = ay__lock(ref, LOCK_SH | LOCK_NB);
	if (r < 0)
		return r == -EWOULDBLOCK ? -ENOENT
					 : r; /* only what was moved aside is ever held exclusively */
	AY_CLOSE int root = ay__open_beneath(tree, "root", O_PATH | O_DIRECTORY);
	if (root < 0)
		return root;
	if (fstat(tree, &held) < 0)
		return -errno;
	if (fstatat(branch, name, &named, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (held.st_ino != named.st_ino || held.st_dev != named.st_dev)
		return -ENOENT;
	*out = (struct ay_use){.serial = serial,
			       .tree = ay_steal_fd(&tree),
			       .root = ay_steal_fd(&root),
			       .ref = ay_steal_fd(&ref)};
	return 0;
}

int ay_store_use(struct ay_store *s, const char *branch, uint32_t serial, struct ay_use *out,
		 struct ay_err *err)
{
	AY_CLOSE int dir = ay__branch_open(s, branch, false, err);
	uint32_t now = serial;
	int r = dir == -ENOENT ? dir : -ENOENT;

	*out = AY_USE_NONE;
	if (dir < 0)
		return dir;
	for (int i = 0; i < TRIES && r == -ENOENT; i++) {
		if (serial == 0 && (r = ay__branch_current(s, dir, branch, &now, err)) < 0)
			return r;
		r = take(dir, now, out);
		if (serial != 0)
			break;
	}
	if (r == -ENOENT)
		return ay_err_set(err, r, "%s %u is not in %s: see `ayni list`", branch, now, s->path);
	if (r == AY_ESTORE)
		return ay_err_set(err, r, "%s %u in %s has no .ref: it cannot be used safely", branch, now,
				  s->path);
	return r < 0 ? ay_err_errno(err, -r, "cannot use %s %u in %s", branch, now, s->path) : 0;
}
