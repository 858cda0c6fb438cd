/* SPDX-License-Identifier: MIT */
/*
 * Symbolic links that are as they were. In an update of an operating system nearly all are; each that is made anew is an inode,
 * and a long one a block. So the one of the tree before gets a second name, and is looked at under that: whatever is done
 * to the old tree meanwhile, in our staging nobody puts another one in its place.
 *
 * What differs, or cannot be linked, is made (ay__make_special()). A link that is to have attributes is always made: to compare
 * them would cost more than is saved. That it has none is looked at: somebody may have given it one in the old tree.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "store/tree_internal.h"
#include "store/xattr.h"

void ay__alike_begin(struct ay__build *b, uint32_t serial)
{
	char name[AY__SERIAL_NAME_MAX];

	ay__serial_name(serial, name);
	AY_CLOSE int tree = ay__open_beneath(b->branch_dir, name, O_PATH | O_DIRECTORY);
	b->like = tree < 0 ? -1 : ay__open_beneath(tree, "root", O_PATH | O_DIRECTORY);
}

int ay__alike_open(int root, const struct ay_entry *e)
{
	size_t len = ay_path_parent_len(e->path, e->path_len);
	char path[AY_PATH_MAX + 1];

	if (len <= 1)
		return ay__open_beneath(root, ".", O_PATH | O_DIRECTORY);
	memcpy(path, e->path + 1, len - 1);
	path[len - 1] = '\0';
	return ay__open_beneath(root, path, O_PATH | O_DIRECTORY);
}

/* But for labels, which the machine's policy puts on each that is made, too. What cannot be read might be any. */
static bool has_no_attributes(int dir, const char *name)
{
	AY_FREE struct ay_xattr *x = NULL;
	size_t n = 0;

	return ay__xattrs_read(-1, dir, name, AY__XATTR_NO_LABELS, &x, &n, NULL) == 0 && n == 0;
}

static bool same(const struct ay_store *s, int dir, const char *name, const struct ay_entry *e)
{
	char target[AY_PATH_MAX + 2];
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISLNK(st.st_mode) ||
	    (uint64_t)st.st_size != e->target_len || st.st_mtim.tv_sec != e->mtime_s ||
	    (uint32_t)st.st_mtim.tv_nsec != e->mtime_ns ||
	    (!s->owner_me && (st.st_uid != e->uid || st.st_gid != e->gid)))
		return false;
	ssize_t n = readlinkat(dir, name, target, sizeof(target));
	return n >= 0 && (size_t)n == e->target_len && memcmp(target, e->target, e->target_len) == 0 &&
	       has_no_attributes(dir, name);
}

int ay__alike_link(struct ay_store *s, int like, int dir, const char *name, const struct ay_entry *e,
		   struct ay_err *err)
{
	if (e->type != AY_ENTRY_SYMLINK || e->n_xattrs > 0 ||
	    s->fs->ops->link(s->fs, like, name, dir, name) < 0)
		return 0;
	if (same(s, dir, name, e))
		return 1;
	int r = s->fs->ops->unlink(s->fs, dir, name, 0);
	return r < 0 ? ay_err_errno(err, -r, "%s: cannot remove what is not it", e->path) : 0;
}
