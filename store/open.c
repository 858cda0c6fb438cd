/* SPDX-License-Identifier: MIT */
/*
 * Opening a store: one directory, its parts held by fds for the store's life, so
 * that nobody who renames a directory above can lead us elsewhere.
 *
 * VERSION is written last: a directory without it is a store whose making was
 * interrupted (then making goes on) or something else (then it is left alone).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/spill.h"
#include "store/staging.h"

#define VERSION_MAX 4096

/* The store's directories: name, mode, where its fd is kept. objects/ and tmp/ are nobody else's business. */
static const struct part {
	const char *name;
	mode_t mode;
	size_t fd;
	const char *inner; /* a directory in it; NULL: none */
} parts[] = {
	{"objects", 0700, offsetof(struct ay_store, objects), NULL},
	{"branches", 0755, offsetof(struct ay_store, branches), NULL},
	{"tmp", 0700, offsetof(struct ay_store, tmp), NULL},
	{"state", 0755, offsetof(struct ay_store, state), "branches"},
	{"releases", 0755, offsetof(struct ay_store, releases), NULL},
	{"offers", 0755, offsetof(struct ay_store, offers), NULL},
	{"roots", 0755, offsetof(struct ay_store, roots), NULL},
	{"bundles", 0755, offsetof(struct ay_store, bundles), "partial"},
};
#define N_PARTS (sizeof(parts) / sizeof(parts[0]))

static int *part_fd(struct ay_store *s, size_t i)
{
	return (int *)(void *)((char *)s + parts[i].fd);
}

/* Does the directory hold nothing but what a store has? 1, 0, -errno. */
static int only_parts(int dir)
{
	AY_CLOSEDIR DIR *d = ay__list_dir(dir);
	struct dirent *e;
	int r = 0;

	if (!d)
		return -errno;
	while ((e = ay__dir_next(d, &r))) {
		bool known = strcmp(e->d_name, "lock") == 0 || strcmp(e->d_name, "lost+found") == 0 ||
			     strncmp(e->d_name, AY__TMP_PREFIX, sizeof(AY__TMP_PREFIX) - 1) == 0;
		for (size_t i = 0; i < N_PARTS && !known; i++)
			known = strcmp(e->d_name, parts[i].name) == 0;
		if (!known)
			return 0;
	}
	return r < 0 ? r : 1;
}

/* mkdir -p, so that `--store /var/lib/ayni/store` works on a fresh machine. make_parts() syncs it. */
static int make_path(struct ay_fs *fs, const char *path)
{
	AY_FREE char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	size_t len = strlen(copy);
	while (len > 1 && copy[len - 1] == '/')
		copy[--len] = '\0';
	char *slash = strrchr(copy, '/');
	const char *parent = slash ? copy : ".";
	if (slash)
		*slash = '\0';
	if (slash && slash > copy && access(copy, F_OK) < 0) {
		int r = make_path(fs, copy);
		if (r < 0)
			return r;
	}
	AY_CLOSE int dir = open(parent[0] ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	int r = fs->ops->mkdir(fs, dir, slash ? slash + 1 : path, 0755);
	return r == -EEXIST ? 0 : r;
}

static int make_part(struct ay_store *s, const struct part *part, struct ay_err *err)
{
	AY_CLOSE int fd = ay__make_dir(s->fs, s->dir, part->name, part->mode, NULL);
	AY_CLOSE int inner = fd < 0 || !part->inner ? -1 : ay__make_dir(s->fs, fd, part->inner, 0755, NULL);
	int r = fd < 0 ? fd : part->inner && inner < 0 ? inner : 0;

	return r < 0 ? ay_err_errno(err, -r, "cannot make %s/%s", s->path, part->name) : 0;
}

static int make_parts(struct ay_store *s, int flags, struct ay_err *err)
{
	int only = only_parts(s->dir);

	if (only < 0)
		return ay_err_errno(err, -only, "cannot list %s", s->path);
	if (only == 0)
		return ay_err_set(err, AY_ESTATE,
				  "%s: not a store and not empty; name an empty or a new directory", s->path);
	for (size_t i = 0; i < N_PARTS; i++) {
		int r = make_part(s, &parts[i], err);
		if (r < 0)
			return r;
	}
	/* All of it, and the way here, whoever made which part of that and was killed then. */
	int r = s->fs->ops->syncfs(s->fs, s->dir);
	if (r < 0)
		return ay_err_errno(err, -r, "cannot sync the file system of %s", s->path);
	s->owner_me = flags & AY_STORE_OWNER_ME;
	r = ay__store_version_write(s, err);
	return r < 0 ? ay_err_wrap(err, r, "make store %s", s->path) : 0;
}

/* VERSION, or 1 when there is none. */
static int read_version(struct ay_store *s, struct ay_err *err)
{
	AY_FREE uint8_t *data = NULL;
	size_t len = 0;
	int r = ay__read_file(s->dir, AY__STORE_VERSION_FILE, VERSION_MAX, &data, &len, NULL);

	if (r == -ENOENT)
		return 1;
	if (r < 0)
		return r > -4096 ? ay_err_errno(err, -r, "cannot read %s/" AY__STORE_VERSION_FILE, s->path)
				 : ay_err_set(err, r, "%s/" AY__STORE_VERSION_FILE ": %s", s->path,
					      ay_strerror(r));
	struct ay__store_options o = {0};
	r = ay__store_version_parse((const char *)data, len, &o);
	s->owner_me = o.owner_me;
	s->verity = o.verity;
	if (r == AY_EVERSION)
		return ay_err_set(err, r,
				  "%s/" AY__STORE_VERSION_FILE
				  ": \"%.32s\": made by another version of ayni; upgrade ayni",
				  s->path, (const char *)data);
	return r < 0 ? ay_err_set(err, r, "%s/" AY__STORE_VERSION_FILE ": not a store's version", s->path)
		     : 0;
}

static int check_user(const struct ay_store *s, bool owner_me, struct ay_err *err)
{
	if (s->readonly || owner_me || geteuid() == 0)
		return 0;
	return ay_err_set(
		err, AY_EUSAGE,
		"%s: this store keeps the owners of files, and only root can do that; run as root, or make a "
		"store of your own with --owner-me",
		s->path);
}

/*
 * The file is made when VERSION is durable: where it is missing, and we did not make the store (@made), who did may have
 * been killed before.
 */
static int open_lock(struct ay_store *s, bool made, struct ay_err *err)
{
	s->lock = s->fs->ops->open(s->fs, s->dir, "lock", O_RDWR, 0);
	if (s->lock == -ENOENT) {
		int r = made ? 0 : s->fs->ops->fsync(s->fs, s->dir);
		s->lock = r < 0 ? r : s->fs->ops->open(s->fs, s->dir, "lock", O_RDWR | O_CREAT, 0600);
	}
	return s->lock < 0 ? ay_err_errno(err, -s->lock, "cannot open %s/lock for writing", s->path) : 0;
}

/*
 * objects/ab is a part of many names that we give to the kernel, and the kernel would follow a symbolic link there. Nobody
 * but the owner can put one; should he have moved a part of the objects elsewhere, that is no store.
 */
static int check_buckets(const struct ay_store *s, struct ay_err *err)
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned b = 0; s->objects >= 0 && b <= 256; b++) {
		const char bucket[3] = {digits[b >> 4 & 15], digits[b & 15], '\0'};
		const char *name = b < 256 ? bucket : AY__SPILL_DIR;
		struct stat st;
		int r = fstatat(s->objects, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
		if (r < 0 && r != -ENOENT && r != -EACCES)
			return ay_err_errno(err, -r, "cannot look at %s/objects/%s", s->path, name);
		if (r == 0 && !S_ISDIR(st.st_mode))
			return ay_err_set(
				err, AY_ESTORE,
				"%s/objects/%s is not a directory: it is not followed; remove it, then "
				"`ayni fsck --heal`",
				s->path, name);
	}
	return 0;
}

static int open_parts(struct ay_store *s, bool made, struct ay_err *err)
{
	for (size_t i = 0; i < N_PARTS; i++) {
		int fd = ay__open_beneath(s->dir, parts[i].name, O_RDONLY | O_DIRECTORY);
		if (fd == -EACCES && s->readonly)
			continue; /* a reader does without objects/ and tmp/ */
		if (fd == -ENOENT || fd == -ENOTDIR)
			return ay_err_set(err, AY_ESTORE, "%s/%s is missing", s->path, parts[i].name);
		if (fd < 0)
			return ay_err_errno(err, -fd, "cannot open %s/%s", s->path, parts[i].name);
		*part_fd(s, i) = fd;
	}
	int r = s->bundles < 0 ? -EACCES : ay__open_beneath(s->bundles, "partial", O_RDONLY | O_DIRECTORY);
	if (r == -ENOENT || r == -ENOTDIR)
		return ay_err_set(err, AY_ESTORE, "%s/bundles/partial is missing", s->path);
	if (r < 0)
		return ay_err_errno(err, -r, "cannot open %s/bundles/partial", s->path);
	s->partial = r;
	r = check_buckets(s, err);
	if (r < 0)
		return r;
	if (s->readonly)
		return 0;
	return open_lock(s, made, err);
}

static int open_store(struct ay_store *s, int flags, struct ay_err *err)
{
	s->dir = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir < 0 && errno == ENOENT && (flags & AY_STORE_CREATE)) {
		int r = check_user(s, flags & AY_STORE_OWNER_ME, err);
		if (r < 0)
			return r;
		if ((r = make_path(s->fs, s->path)) < 0)
			return ay_err_errno(err, -r, "cannot make store %s", s->path);
		s->dir = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (s->dir < 0) /* a symbolic link to nowhere stands there */
			return ay_err_errno(err, errno, "cannot make store %s", s->path);
	}
	if (s->dir < 0 && errno != ENOENT)
		return ay_err_errno(err, errno, "cannot open store %s", s->path);
	int r = s->dir < 0 ? 1 : read_version(s, err);
	if (r < 0)
		return r;
	if (r > 0 && !(flags & AY_STORE_CREATE))
		return ay_err_set(err, AY_ESTATE, "%s: no store there", s->path);
	const bool made = r > 0;
	if (made &&
	    ((r = check_user(s, flags & AY_STORE_OWNER_ME, err)) < 0 || (r = make_parts(s, flags, err)) < 0))
		return r;
	if ((r = check_user(s, s->owner_me, err)) < 0)
		return r;
	return open_parts(s, made, err);
}

/* What dead processes left behind. */
static void sweep(struct ay_store *s)
{
	const int dirs[] = {s->dir, s->state, s->releases, s->offers, s->roots, s->partial};
	AY_CLOSE int branches = ay__open_beneath(s->state, "branches", O_RDONLY | O_DIRECTORY);

	ay__staging_sweep(s, false, NULL);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		ay__sweep_tmp(s->fs, dirs[i]);
	if (branches >= 0)
		ay__sweep_tmp(s->fs, branches);
}

int ay_store_open(struct ay_fs *fs, const char *path, int flags, struct ay_store **out, struct ay_err *err)
{
	struct ay_store *s = calloc(1, sizeof(*s));

	if (!s)
		return ay_err_errno(err, ENOMEM, "open store %s", path);
	s->fs = fs;
	s->readonly = flags & AY_STORE_READONLY;
	s->threads = 1;
	pthread_mutex_init(&s->spill_lock, NULL);
	s->dir = s->partial = s->lock = -1;
	for (size_t i = 0; i < N_PARTS; i++)
		*part_fd(s, i) = -1;
	s->path = strdup(path);
	int r = s->path ? open_store(s, s->readonly ? flags & ~AY_STORE_CREATE : flags, err)
			: ay_err_errno(err, ENOMEM, "open store %s", path);
	if (r < 0) {
		ay_store_close(s);
		return r;
	}
	if (!s->readonly)
		sweep(s);
	*out = s;
	return 0;
}

void ay_store_close(struct ay_store *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < N_PARTS; i++) {
		if (*part_fd(s, i) >= 0)
			close(*part_fd(s, i));
	}
	if (s->partial >= 0)
		close(s->partial);
	if (s->lock >= 0)
		close(s->lock);
	if (s->dir >= 0)
		close(s->dir);
	ay_root_free(s->root);
	pthread_mutex_destroy(&s->spill_lock);
	free(s->path);
	free(s);
}
