/* SPDX-License-Identifier: MIT */
/*
 * Further inodes of objects (store/spill.h): read like any object. A damaged one loses its name, so that it is never
 * linked again; the paths that link it are found, and put right, by the walks over the trees.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/fsck_internal.h"
#include "store/spill.h"
#include "store/state_internal.h"

struct look {
	struct ay__fsck *k;
	struct ay_err *err;
};

/* 1 it is, 0 it is not, -errno: that could not be found out, which says nothing about it. */
static int is_good(struct ay__fsck *k, int fd, const struct stat *st, const struct ay__object_name *name)
{
	char hex[AY_DIGEST_HEX + 1];
	uint8_t v[AY__VARIANT_LEN];
	struct ay_digest want, found;

	snprintf(hex, sizeof(hex), "%.2s%.62s", name->s, name->s + 3);
	if (ay_digest_parse(&want, hex, AY_DIGEST_HEX) != 0 ||
	    !ay__hex_get(name->s + 66, 2 * sizeof(v), v, sizeof(v)))
		return 0;
	int r = ay_digest_fd(fd, &found, NULL);
	if (ay__fsck_lack(k, r))
		return r;
	if (r < 0 || !ay_digest_eq(&want, &found))
		return 0;
	r = ay__fsck_variant_is(k, fd, st, v);
	return ay__fsck_lack(k, r) ? r : r > 0;
}

static int unname(struct ay__fsck *k, int dir, const char *file, struct ay_err *err)
{
	int r = ay__store_lock(k->s, LOCK_EX, err);

	if (r < 0)
		return r;
	r = ay__remove_tree(k->s->fs, dir, file);
	ay__store_unlock(k->s);
	return r < 0 ? ay_err_errno(err, -r, "cannot remove objects/" AY__SPILL_DIR "/%s", file) : 0;
}

static int look_at(void *ctx, int dir, const char *file, const struct ay__object_name *name)
{
	struct look *l = ctx;
	struct ay__fsck *k = l->k;
	struct stat st;
	AY_CLOSE int fd = ay__open_beneath(dir, file, O_RDONLY | O_NONBLOCK);

	if (fd == -ENOENT)
		return 0;
	if (ay__fsck_lack(k, fd))
		return fd;
	if (fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) {
		k->res->objects++;
		k->res->bytes += (uint64_t)st.st_size;
		int good = fd >= 0 ? is_good(k, fd, &st, name) : fd == -EACCES;
		if (good < 0)
			return good;
		if (good) {
			if (st.st_nlink == 1) {
				k->res->leftovers++;
				k->res->leftover_bytes += (uint64_t)st.st_blocks * 512;
			}
			return 0;
		}
	}
	int r = k->f->heal ? unname(k, dir, file, l->err) : 0;
	if (r < 0)
		return r;
	ay__fsck_tell(k,
		      &(struct ay_fsck_finding){.what = AY_FSCK_OBJECT,
						.outcome = k->f->heal ? AY_FSCK_HEALED : AY_FSCK_DAMAGED,
						.object = name->s},
		      "a further inode of it (objects/" AY__SPILL_DIR "/%s) is not what its name says%s",
		      file, k->f->heal ? "; it is not linked again" : "");
	return 0;
}

int ay__fsck_spill(struct ay__fsck *k, struct ay_err *err)
{
	struct look l = {.k = k, .err = err};
	int r = k->f->heal ? ay__store_lock(k->s, LOCK_EX, err) : 0;

	if (r < 0)
		return r;
	if (k->f->heal) {
		ay__spill_settle(k->s);
		ay__store_unlock(k->s);
	}
	r = ay__spill_each(k->s, look_at, &l);
	return r < 0 && (!err || err->code != r)
		       ? ay_err_errno(err, -r, "cannot read %s/objects/" AY__SPILL_DIR, k->s->path)
		       : r;
}
