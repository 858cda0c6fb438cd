/* SPDX-License-Identifier: MIT */
/*
 * Further inodes of an object. They are few (one for each 65,000 links), so whoever asks for those of one object reads
 * the whole directory; and in nearly every store it is not there at all.
 *
 * A power cut may leave any of them that were made last: then nothing links those, for no tree was promised, and they
 * hold the right bytes, for they were synced before they got their names. So a number may be missing.
 */
#include "store/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/verity.h"

#define FLAT_LEN  (64 + 1 + 16)
#define NAME_MAX_ (FLAT_LEN + 12) /* ".4294967295" and NUL */

static void spill_name(const struct ay__object_name *name, unsigned n, char out[NAME_MAX_])
{
	snprintf(out, NAME_MAX_, "%.2s%.79s.%u", name->s, name->s + 3, n);
}

/* "<64 hex>.<16 hex>.<n>" */
static bool parse(const char *file, struct ay__object_name *name)
{
	if (strlen(file) < FLAT_LEN + 2 || file[64] != '.' || file[FLAT_LEN] != '.' ||
	    file[FLAT_LEN + 1 + strspn(file + FLAT_LEN + 1, "0123456789")] != '\0')
		return false;
	for (int i = 0; i < FLAT_LEN; i++) {
		if (i != 64 && !strchr("0123456789abcdef", file[i]))
			return false;
	}
	snprintf(name->s, sizeof(name->s), "%.2s/%.79s", file, file + 2);
	return true;
}

int ay__spill_each(struct ay_store *s,
		   int (*each)(void *ctx, int dir, const char *file, const struct ay__object_name *name),
		   void *ctx)
{
	int fd = ay__open_beneath(s->objects, AY__SPILL_DIR, O_RDONLY | O_DIRECTORY), r = 0;
	AY_CLOSEDIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		r = fd < 0 ? fd : -errno;
		if (fd >= 0)
			close(fd);
		return r == -ENOENT ? 0 : r;
	}
	while (r == 0 && (errno = 0, e = readdir(d))) {
		struct ay__object_name name;
		if (parse(e->d_name, &name))
			r = each(ctx, fd, e->d_name, &name);
	}
	return r == 0 ? -errno : r;
}

/* ---- linking ---- */

/* A copy of the object as its further inode @file. Synced first: whoever finds it links it without reading it. */
static int make(struct ay_store *s, const struct ay_entry *e, const struct ay__object_name *name,
		const char *file, int scratch, struct ay__touched *touched, struct ay_err *err)
{
	char tmp[17];
	AY_CLOSE int from = ay__open_beneath(s->objects, name->s, O_RDONLY);

	if (from < 0)
		return ay_err_errno(err, -from, "cannot open object %s", name->s);
	ay__random_name(tmp);
	int to = s->fs->ops->open(s->fs, scratch, tmp, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (to < 0)
		return ay_err_errno(err, -to, "cannot make a copy of object %s", name->s);
	int r = ay__copy_file(s, from, to, e->size, &e->digest, err);
	if (r == AY_EDIGEST)
		r = ay_err_wrap(err, err ? (err->code = AY_EBASE) : AY_EBASE,
				"object %s was changed; `ayni fsck --heal` heals", name->s);
	if (r == 0 && (r = ay__meta_set(s, to, e, err)) == 0 && (r = s->fs->ops->fsync(s->fs, to)) < 0)
		ay_err_errno(err, -r, "cannot sync a copy of object %s", name->s);
	close(to);
	if (r < 0 || (r = ay__verity_guard(s, scratch, tmp, &e->digest, err)) < 0)
		return r;
	AY_CLOSE int dir = ay__make_dir(s->fs, s->objects, AY__SPILL_DIR, 0700, NULL);
	if (dir < 0)
		return ay_err_errno(err, -dir, "cannot make %s/objects/" AY__SPILL_DIR, s->path);
	touched->objects = touched->more = true;
	r = s->fs->ops->rename(s->fs, scratch, tmp, dir, file, true);
	if (r == -EEXIST) /* another process was faster: its copy is as good */
		r = s->fs->ops->unlink(s->fs, scratch, tmp, 0);
	return r < 0 ? ay_err_errno(err, -r, "cannot put a copy of object %s", name->s) : 0;
}

static int link_further(struct ay_store *s, const struct ay_entry *e, const struct ay__object_name *name,
			int to_dirfd, const char *to, int scratch, struct ay__touched *touched,
			struct ay_err *err)
{
	char file[NAME_MAX_], path[sizeof(AY__SPILL_DIR) + NAME_MAX_];
	struct stat st;

	/* Equal files often follow each other: where the last one found room there may be more. */
	if (strcmp(touched->full.s, name->s) != 0) {
		touched->full = *name;
		touched->full_at = 1;
	}
	for (;; touched->full_at++) {
		spill_name(name, touched->full_at, file);
		snprintf(path, sizeof(path), AY__SPILL_DIR "/%s", file);
		if (fstatat(s->objects, path, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			int r = errno == ENOENT ? make(s, e, name, file, scratch, touched, err)
						: ay_err_errno(err, errno, "object %s", name->s);
			if (r < 0)
				return r;
		} else if (!ay__object_intact(s, &st, e)) {
			continue; /* changed in place: never linked again */
		}
		int r = s->fs->ops->link(s->fs, s->objects, path, to_dirfd, to);
		if (r != -EMLINK)
			return r < 0 ? ay_err_errno(err, -r, "%s: cannot link object %s", e->path, name->s)
				     : 0;
	}
}

/* It is rare, so one thread at a time. */
int ay__spill_link(struct ay_store *s, const struct ay_entry *e, const struct ay__object_name *name,
		   int to_dirfd, const char *to, int scratch, struct ay__touched *touched, struct ay_err *err)
{
	pthread_mutex_lock(&s->spill_lock);
	int r = link_further(s, e, name, to_dirfd, to, scratch, touched, err);
	pthread_mutex_unlock(&s->spill_lock);
	return r;
}

/* ---- dropping ---- */

struct heir {
	struct ay_store *s;
	const struct ay__object_name *name;
	char file[NAME_MAX_]; /* "": none */
};

static int find_heir(void *ctx, int dir, const char *file, const struct ay__object_name *name)
{
	struct heir *h = ctx;
	struct stat st;

	if (strcmp(name->s, h->name->s) != 0 || strlen(file) >= sizeof(h->file) ||
	    fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) || st.st_nlink < 2)
		return 0;
	memcpy(h->file, file, strlen(file) + 1);
	return 1;
}

/* The further inode @file becomes the object's own. */
static int inherit(struct ay_store *s, const char *file, const struct ay__object_name *name)
{
	char path[sizeof(AY__SPILL_DIR) + NAME_MAX_];

	snprintf(path, sizeof(path), AY__SPILL_DIR "/%s", file);
	return s->fs->ops->rename(s->fs, s->objects, path, s->objects, name->s, false);
}

int ay__object_drop(struct ay_store *s, const struct ay__object_name *name)
{
	struct heir h = {.s = s, .name = name};
	int r = ay__spill_each(s, find_heir, &h);

	if (r < 0)
		return r;
	r = r > 0 ? inherit(s, h.file, name) : s->fs->ops->unlink(s->fs, s->objects, name->s, 0);
	return r < 0 ? r : !h.file[0];
}

static int settle_one(void *ctx, int dir, const char *file, const struct ay__object_name *name)
{
	struct ay_store *s = ctx;
	struct stat st, own;

	if (fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return 0;
	/* A power cut may leave one that has moved to the object's name under its old name too. */
	bool twice = fstatat(s->objects, name->s, &own, AT_SYMLINK_NOFOLLOW) == 0 && own.st_ino == st.st_ino;
	if (st.st_nlink == 1 || twice)
		s->fs->ops->unlink(s->fs, dir, file, 0);
	return 0;
}

struct one_of {
	const struct ay__object_name *name;
	ino_t ino;
};

static int is_one_of(void *ctx, int dir, const char *file, const struct ay__object_name *name)
{
	const struct one_of *x = ctx;
	struct stat st;

	return strcmp(name->s, x->name->s) == 0 && fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_ino == x->ino;
}

bool ay__spill_has(struct ay_store *s, const struct ay__object_name *name, ino_t ino)
{
	struct one_of x = {.name = name, .ino = ino};
	return ay__spill_each(s, is_one_of, &x) > 0;
}

void ay__spill_settle(struct ay_store *s)
{
	struct stat st;

	if (fstatat(s->objects, AY__SPILL_DIR, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	ay__spill_each(s, settle_one, s);
	s->fs->ops->unlink(s->fs, s->objects, AY__SPILL_DIR, AT_REMOVEDIR); /* once it is empty */
}
