/* SPDX-License-Identifier: MIT */
/* An object's link into a tree: of the inode that has its name, or of a further one when that has as many as it may. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "store/spill.h"

int ay__object_link(struct ay_store *s, const struct ay_entry *e, int to_dirfd, const char *to, int scratch,
		    struct ay__touched *touched, struct ay_err *err)
{
	struct ay__local_entry local;
	struct ay__object_name name;
	uint8_t v[AY__VARIANT_LEN];
	struct stat st;

	ay__entry_localise(s, e, &local);
	int r = ay__object_variant(&local.e, v);
	if (r < 0)
		return ay_err_errno(err, -r, "%s", e->path);
	ay__object_name(&e->digest, v, &name);
	if (fstatat(s->objects, name.s, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return ay_err_errno(err, errno, "%s: object %s", e->path, name.s);
	if (!ay__object_intact(s, &st, &local.e))
		return ay_err_set(err, AY_EBASE,
				  "%s: object %s was changed in place; `ayni fsck --heal` heals", e->path,
				  name.s);
	r = s->fs->ops->link(s->fs, s->objects, name.s, to_dirfd, to);
	if (r == -EMLINK)
		return ay__spill_link(s, &local.e, &name, to_dirfd, to, scratch, touched, err);
	return r < 0 ? ay_err_errno(err, -r, "%s: cannot link object %s", e->path, name.s) : 0;
}
