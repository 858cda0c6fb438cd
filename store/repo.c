/* SPDX-License-Identifier: MIT */
/*
 * A repository: immutable files, and one head per branch that changes in one rename.
 *
 * Every file is written under a temporary name, synced, renamed, and its directory
 * synced, so that who reads (a web server, a school's node, an export) sees it
 * whole or not at all and needs no lock. Writers are one at a time: the first
 * write takes flock() on `.lock` and keeps it until the repository is closed.
 * What is read is checked against its name; a root, release, offer or head is
 * believed only by manifest/trust.h.
 */
#include "store/repo_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "store/file.h"

#define MARKER    "ayni-repo"
#define MARKER_1  "ayni-repo 1\n"
#define LOCK_FILE ".lock"

static const char *const dir_names[AY__REPO_DIRS] = {"roots",     "branches", "releases",
						     "manifests", "offers",   "bundles"};

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void ay_repo_close(struct ay_repo *r)
{
	if (!r)
		return;
	for (int i = 0; i < AY__REPO_DIRS; i++)
		close_fd(r->dirs[i]);
	close_fd(r->lock);
	close_fd(r->dir);
	free(r->path);
	free(r);
}

static void cleanup_repo(struct ay_repo **r)
{
	ay_repo_close(*r);
}

const char *ay_repo_path(const struct ay_repo *r)
{
	return r->path;
}

/* ---- opening ---- */

/* An independent reader of a held directory. */
DIR *ay__repo_list(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		close_fd(fd);
	return d;
}

/* Open the directory @path, which the user named; make it when it is not there. */
static int open_path(struct ay_fs *fs, const char *path, bool create, bool *made, struct ay_err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT && !create)
		return ay_err_set(err, AY_ESTATE, "%s is not there; a repository is made by ayni publish",
				  path);
	if (errno == ENOTDIR)
		return ay_err_set(err, AY_ESTATE, "%s is not a directory", path);
	if (errno != ENOENT)
		return ay_err_errno(err, errno, "open repository %s", path);

	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		len--;
	size_t base = len;
	while (base > 0 && path[base - 1] != '/')
		base--;
	AY_FREE char *parent = base ? strndup(path, base) : strdup(".");
	AY_FREE char *name = strndup(path + base, len - base);
	if (!parent || !name)
		return ay_err_set(err, -ENOMEM, "open repository %s: out of memory", path);
	AY_CLOSE int up = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (up < 0)
		return ay_err_errno(err, errno, "make repository %s: open %s", path, parent);
	fd = ay__make_dir(fs, up, name, 0755, made);
	int rc = fd < 0 ? fd : fs->ops->fsync(fs, up);
	if (rc < 0) {
		close_fd(fd);
		if (*made) /* then nobody takes it for durable */
			fs->ops->unlink(fs, up, name, AT_REMOVEDIR);
		return ay_err_errno(err, -rc, "make repository %s", path);
	}
	return fd;
}

/* The marker: 0 it is a repository of this version; -ENOENT none; AY_EVERSION, AY_ESTATE. */
static int read_marker(const struct ay_repo *r, struct ay_err *err)
{
	AY_FREE uint8_t *data = NULL;
	size_t len = 0;

	int rc = ay__read_file(r->dir, MARKER, 64, &data, &len, NULL);
	if (rc == -ENOENT)
		return rc;
	if (rc == 0 && len == strlen(MARKER_1) && memcmp(data, MARKER_1, len) == 0)
		return 0;
	if (rc == 0 && len > strlen(MARKER " ") && memcmp(data, MARKER " ", strlen(MARKER " ")) == 0)
		return ay_err_set(err, AY_EVERSION, "%s is a repository of a newer ayni; upgrade ayni",
				  r->path);
	if (rc == 0 || rc == AY_ELIMIT)
		return ay_err_set(err, AY_ESTATE,
				  "%s is not a repository: its file " MARKER " says something else", r->path);
	return ay_err_errno(err, -rc, "read %s/" MARKER, r->path);
}

/* May a repository be made here? Only in an empty directory, or in one that a killed maker left. */
static int check_makeable(const struct ay_repo *r, struct ay_err *err)
{
	AY_CLOSEDIR DIR *d = ay__repo_list(r->dir);
	if (!d)
		return ay_err_errno(err, errno, "list %s", r->path);
	for (struct dirent *e; (e = readdir(d));) {
		bool ours = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
			    strcmp(e->d_name, LOCK_FILE) == 0 ||
			    strncmp(e->d_name, AY__TMP_PREFIX, strlen(AY__TMP_PREFIX)) == 0;
		for (int i = 0; i < AY__REPO_DIRS && !ours; i++)
			ours = strcmp(e->d_name, dir_names[i]) == 0;
		if (!ours)
			return ay_err_set(
				err, AY_ESTATE,
				"%s is not a repository and not empty; name a repository, or a new directory",
				r->path);
	}
	return 0;
}

/* Temporary files of dead writers, in a directory and in those below it (branches/<name>, offers/<to>). */
static void sweep_with_children(struct ay_repo *r, int dir)
{
	AY_CLOSEDIR DIR *d = ay__repo_list(dir);

	ay__sweep_tmp(r->fs, dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		AY_CLOSE int child = ay__open_beneath(dir, e->d_name, O_RDONLY | O_DIRECTORY);
		if (child >= 0)
			ay__sweep_tmp(r->fs, child);
	}
}

static void sweep_dir(struct ay_repo *r, int i)
{
	if (i == AY__REPO_BRANCHES || i == AY__REPO_OFFERS)
		sweep_with_children(r, r->dirs[i]);
	else
		ay__sweep_tmp(r->fs, r->dirs[i]);
}

/* One writer at a time; what dead ones left is swept. */
int ay__repo_begin_write(struct ay_repo *r, struct ay_err *err)
{
	if (r->lock >= 0)
		return 0;
	AY_CLOSE int fd = r->fs->ops->open(r->fs, r->dir, LOCK_FILE, O_RDWR | O_CREAT, 0600);
	if (fd < 0)
		return ay_err_errno(err, -fd, "cannot write repository %s", r->path);
	int rc = ay__lock(fd, LOCK_EX | LOCK_NB);
	if (rc == -EWOULDBLOCK)
		return ay_err_set(err, AY_EBUSY,
				  "another process is publishing to %s; wait until it has ended", r->path);
	if (rc < 0)
		return ay_err_errno(err, -rc, "lock repository %s", r->path);
	r->lock = ay_steal_fd(&fd);
	ay__sweep_tmp(r->fs, r->dir);
	for (int i = 0; i < AY__REPO_DIRS; i++) {
		if (r->dirs[i] >= 0)
			sweep_dir(r, i);
	}
	return 0;
}

int ay__repo_subdir(struct ay_repo *r, int which, const char *name)
{
	const struct ay_fs_ops *ops = r->fs->ops;
	bool made = false;
	int fd = ay__make_dir(r->fs, r->dirs[which], name, 0755, &made);

	/* One that is there already may be the work of a process that was killed before it was synced. */
	int rc = fd < 0 ? fd : ops->fsync(r->fs, r->dirs[which]);
	if (rc == 0)
		return fd;
	close_fd(fd);
	if (made) /* that sync is not asked for again: it is made anew */
		ops->unlink(r->fs, r->dirs[which], name, AT_REMOVEDIR);
	return rc;
}

/* Directories first, the marker last: with it everything is there. */
static int make(struct ay_repo *r, bool new_, struct ay_err *err)
{
	bool made[AY__REPO_DIRS] = {false};
	/* Its own name too, if it was found: who made it may have been killed before it was synced. */
	AY_CLOSE int up = openat(r->dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = up < 0 ? -errno : new_ ? 0 : r->fs->ops->fsync(r->fs, up);

	for (int i = 0; i < AY__REPO_DIRS && rc == 0; i++) {
		int fd = ay__make_dir(r->fs, r->dir, dir_names[i], 0755, &made[i]);
		rc = fd < 0 ? fd : 0;
		close_fd(fd);
	}
	if (rc == 0)
		rc = r->fs->ops->fsync(r->fs, r->dir);
	for (int i = 0; i < AY__REPO_DIRS && rc < 0; i++) {
		if (made[i])
			r->fs->ops->unlink(r->fs, r->dir, dir_names[i], AT_REMOVEDIR);
	}
	if (rc < 0)
		return ay_err_errno(err, -rc, "make repository %s", r->path);
	rc = ay__store_replace_file(r->fs, r->dir, MARKER, MARKER_1, strlen(MARKER_1), err);
	return rc < 0 ? ay_err_wrap(err, rc, "make repository %s", r->path) : 0;
}

int ay_repo_open(struct ay_fs *fs, const char *path, bool create, struct ay_repo **out, struct ay_err *err)
{
	AY_CLEANUP(cleanup_repo) struct ay_repo *r = calloc(1, sizeof(*r));
	if (!r)
		return ay_err_set(err, -ENOMEM, "open repository %s: out of memory", path);
	bool made = false;
	r->fs = fs;
	r->dir = r->lock = -1;
	for (int i = 0; i < AY__REPO_DIRS; i++)
		r->dirs[i] = -1;
	r->path = strdup(path);
	r->dir =
		r->path ? open_path(fs, path, create, &made, err) : ay_err_set(err, -ENOMEM, "out of memory");
	if (r->dir < 0)
		return r->dir;

	int rc = read_marker(r, err);
	if (rc == -ENOENT && !create)
		return ay_err_set(err, AY_ESTATE, "%s is not a repository (it has no file " MARKER ")", path);
	if (rc == -ENOENT)
		rc = check_makeable(r, err);
	if (rc == 0 && create)
		rc = ay__repo_begin_write(r, err);
	if (rc == 0 && create)
		rc = read_marker(r, err);
	if (rc == -ENOENT)
		rc = make(r, made, err);
	if (rc < 0)
		return rc;
	for (int i = 0; i < AY__REPO_DIRS; i++) {
		r->dirs[i] = ay__open_beneath(r->dir, dir_names[i], O_RDONLY | O_DIRECTORY);
		if (r->dirs[i] < 0)
			return ay_err_errno(err, -r->dirs[i], "open %s/%s", path, dir_names[i]);
		if (r->lock >= 0)
			sweep_dir(r, i);
	}
	*out = ay_steal_ptr(&r);
	return 0;
}

/* ---- files ---- */

static int kind_dir(enum ay_repo_kind kind)
{
	return kind == AY_REPO_RELEASE    ? AY__REPO_RELEASES
	       : kind == AY_REPO_MANIFEST ? AY__REPO_MANIFESTS
					  : AY__REPO_BUNDLES;
}

/* Does @dirfd/@name hold exactly @data? */
bool ay__repo_holds(struct ay_repo *r, int dirfd, const char *name, const void *data, size_t len)
{
	AY_FREE uint8_t *kept = NULL;
	size_t kept_len = 0;
	return ay__read_file(dirfd, name, len, &kept, &kept_len, NULL) == 0 && kept_len == len &&
	       (len == 0 || memcmp(kept, data, len) == 0) && r->fs->ops->fsync(r->fs, dirfd) == 0;
}

int ay_repo_put(struct ay_repo *r, enum ay_repo_kind kind, const void *data, size_t len, struct ay_digest *d,
		struct ay_err *err)
{
	char hex[AY_DIGEST_HEX + 1];
	int which = kind_dir(kind);

	int rc = ay__repo_begin_write(r, err);
	if (rc < 0)
		return rc;
	ay_digest_mem(data, len, d);
	if (ay__repo_holds(r, r->dirs[which], ay_digest_hex(d, hex), data, len))
		return 0;
	rc = ay__store_replace_file(r->fs, r->dirs[which], hex, data, len, err);
	return rc < 0 ? ay_err_wrap(err, rc, "%s/%s", r->path, dir_names[which]) : 0;
}

int ay_repo_get(struct ay_repo *r, enum ay_repo_kind kind, const struct ay_digest *d, size_t max,
		uint8_t **data, size_t *len, struct ay_err *err)
{
	AY_FREE uint8_t *bytes = NULL;
	char hex[AY_DIGEST_HEX + 1];
	struct ay_digest got;
	int which = kind_dir(kind);

	int rc = ay__read_file(r->dirs[which], ay_digest_hex(d, hex), max, &bytes, len, err);
	if (rc < 0)
		return ay_err_wrap(err, rc, "%s/%s", r->path, dir_names[which]);
	ay_digest_mem(bytes, *len, &got);
	if (!ay_digest_eq(&got, d))
		return ay_err_set(err, AY_EDIGEST, "%s/%s/%s is damaged", r->path, dir_names[which], hex);
	*data = ay_steal_ptr(&bytes);
	return 0;
}

/* ---- bundles ---- */

int ay_repo_bundle_begin(struct ay_repo *r, int *fd, char name[64], struct ay_err *err)
{
	char random[17];

	int rc = ay__repo_begin_write(r, err);
	if (rc < 0)
		return rc;
	ay__random_name(random);
	snprintf(name, 64, AY__TMP_PREFIX "%s", random);
	AY_CLOSE int made =
		r->fs->ops->open(r->fs, r->dirs[AY__REPO_BUNDLES], name, O_RDWR | O_CREAT | O_EXCL, 0644);
	if (made < 0)
		return ay_err_errno(err, -made, "make a file in %s/bundles", r->path);
	rc = r->fs->ops->chmod(r->fs, made, 0644);
	if (rc < 0) {
		ay_repo_bundle_abort(r, name);
		return ay_err_errno(err, -rc, "%s/bundles/%s", r->path, name);
	}
	*fd = ay_steal_fd(&made);
	return 0;
}

int ay_repo_bundle_commit(struct ay_repo *r, const char *name, const struct ay_digest *d, struct ay_err *err)
{
	char hex[AY_DIGEST_HEX + 1];
	struct ay_digest got;
	int dir = r->dirs[AY__REPO_BUNDLES];

	AY_CLOSE int fd = ay__open_beneath(dir, name, O_RDONLY);
	if (fd < 0)
		return ay_err_errno(err, -fd, "%s/bundles/%s", r->path, name);
	int rc = ay_digest_fd(fd, &got, NULL);
	if (rc < 0)
		ay_err_errno(err, -rc, "read %s/bundles/%s", r->path, name);
	else if (!ay_digest_eq(&got, d))
		rc = ay_err_set(
			err, AY_EDIGEST,
			"%s/bundles/%s: its bytes are not those that were made; the disk may be failing",
			r->path, name);
	if (rc == 0) {
		rc = r->fs->ops->fsync(r->fs, fd);
		if (rc == 0)
			rc = r->fs->ops->rename(r->fs, dir, name, dir, ay_digest_hex(d, hex), false);
		if (rc == 0)
			return (rc = r->fs->ops->fsync(r->fs, dir)) < 0
				       ? ay_err_errno(err, -rc, "sync %s/bundles", r->path)
				       : 0;
		ay_err_errno(err, -rc, "commit bundle %s in %s", ay_digest_hex(d, hex), r->path);
	}
	ay_repo_bundle_abort(r, name);
	return rc;
}

void ay_repo_bundle_abort(struct ay_repo *r, const char *name)
{
	if (strncmp(name, AY__TMP_PREFIX, strlen(AY__TMP_PREFIX)) == 0)
		r->fs->ops->unlink(r->fs, r->dirs[AY__REPO_BUNDLES], name, 0);
}

static int open_named(struct ay_repo *r, int which, const struct ay_digest *d, int *fd, struct ay_err *err)
{
	char hex[AY_DIGEST_HEX + 1];

	int got = ay__open_beneath(r->dirs[which], ay_digest_hex(d, hex), O_RDONLY | O_NONBLOCK);
	if (got < 0)
		return ay_err_errno(err, -got, "%s/%s/%s", r->path, dir_names[which], hex);
	*fd = got;
	return 0;
}

int ay_repo_bundle_open(struct ay_repo *r, const struct ay_digest *d, int *fd, struct ay_err *err)
{
	return open_named(r, AY__REPO_BUNDLES, d, fd, err);
}

int ay_repo_manifest_open(struct ay_repo *r, const struct ay_digest *d, int *fd, struct ay_err *err)
{
	return open_named(r, AY__REPO_MANIFESTS, d, fd, err);
}
