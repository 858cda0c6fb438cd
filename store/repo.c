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
#include "store/repo.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "store/file.h"

#define MARKER       "ayni-repo"
#define MARKER_1     "ayni-repo 1\n"
#define LOCK_FILE    ".lock"
#define OFFERS_MAX   4096 /* per target tree: each is a way to it */
#define BRANCHES_MAX 4096

enum { ROOTS, BRANCHES, RELEASES, MANIFESTS, OFFERS, BUNDLES, N_DIRS };
static const char *const dir_names[N_DIRS] = {"roots",     "branches", "releases",
					      "manifests", "offers",   "bundles"};

struct ay_repo {
	struct ay_fs *fs;
	char *path;
	int dir, lock;
	int dirs[N_DIRS];
};

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void ay_repo_close(struct ay_repo *r)
{
	if (!r)
		return;
	for (int i = 0; i < N_DIRS; i++)
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
static DIR *list(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		close_fd(fd);
	return d;
}

/* Open the directory @path, which the user named; make it when it is not there. */
static int open_path(struct ay_fs *fs, const char *path, bool create, struct ay_err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT && !create)
		return ay_err_set(err, AY_EUSAGE, "%s is not there; a repository is made by ayni publish",
				  path);
	if (errno == ENOTDIR)
		return ay_err_set(err, AY_EUSAGE, "%s is not a directory", path);
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
	fd = ay__make_dir(fs, up, name, 0755, NULL);
	int rc = fd < 0 ? fd : fs->ops->fsync(fs, up);
	if (rc < 0) {
		close_fd(fd);
		return ay_err_errno(err, -rc, "make repository %s", path);
	}
	return fd;
}

/* The marker: 0 it is a repository of this version; -ENOENT none; AY_EVERSION, AY_EUSAGE. */
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
		return ay_err_set(err, AY_EUSAGE,
				  "%s is not a repository: its file " MARKER " says something else", r->path);
	return ay_err_errno(err, -rc, "read %s/" MARKER, r->path);
}

/* May a repository be made here? Only in an empty directory, or in one that a killed maker left. */
static int check_makeable(const struct ay_repo *r, struct ay_err *err)
{
	AY_CLOSEDIR DIR *d = list(r->dir);
	if (!d)
		return ay_err_errno(err, errno, "list %s", r->path);
	for (struct dirent *e; (e = readdir(d));) {
		bool ours = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
			    strcmp(e->d_name, LOCK_FILE) == 0 ||
			    strncmp(e->d_name, AY__TMP_PREFIX, strlen(AY__TMP_PREFIX)) == 0;
		for (int i = 0; i < N_DIRS && !ours; i++)
			ours = strcmp(e->d_name, dir_names[i]) == 0;
		if (!ours)
			return ay_err_set(
				err, AY_EUSAGE,
				"%s is not a repository and not empty; name a repository, or a new directory",
				r->path);
	}
	return 0;
}

/* One writer at a time; what dead ones left is swept. */
static int begin_write(struct ay_repo *r, struct ay_err *err)
{
	if (r->lock >= 0)
		return 0;
	AY_CLOSE int fd = r->fs->ops->open(r->fs, r->dir, LOCK_FILE, O_RDWR | O_CREAT, 0644);
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
	for (int i = 0; i < N_DIRS; i++) {
		if (r->dirs[i] >= 0)
			ay__sweep_tmp(r->fs, r->dirs[i]);
	}
	return 0;
}

/* Directories first, the marker last: with it everything is there. */
static int make(struct ay_repo *r, struct ay_err *err)
{
	int rc = 0;

	for (int i = 0; i < N_DIRS && rc == 0; i++) {
		int fd = ay__make_dir(r->fs, r->dir, dir_names[i], 0755, NULL);
		rc = fd < 0 ? fd : 0;
		close_fd(fd);
	}
	if (rc == 0)
		rc = r->fs->ops->fsync(r->fs, r->dir);
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
	r->fs = fs;
	r->dir = r->lock = -1;
	for (int i = 0; i < N_DIRS; i++)
		r->dirs[i] = -1;
	r->path = strdup(path);
	r->dir = r->path ? open_path(fs, path, create, err) : ay_err_set(err, -ENOMEM, "out of memory");
	if (r->dir < 0)
		return r->dir;

	int rc = read_marker(r, err);
	if (rc == -ENOENT && !create)
		return ay_err_set(err, AY_EUSAGE, "%s is not a repository (it has no file " MARKER ")", path);
	if (rc == -ENOENT)
		rc = check_makeable(r, err);
	if (rc == 0 && create)
		rc = begin_write(r, err);
	if (rc == 0 && create)
		rc = read_marker(r, err);
	if (rc == -ENOENT)
		rc = make(r, err);
	if (rc < 0)
		return rc;
	for (int i = 0; i < N_DIRS; i++) {
		r->dirs[i] = ay__open_beneath(r->dir, dir_names[i], O_RDONLY | O_DIRECTORY);
		if (r->dirs[i] < 0)
			return ay_err_errno(err, -r->dirs[i], "open %s/%s", path, dir_names[i]);
		if (r->lock >= 0)
			ay__sweep_tmp(fs, r->dirs[i]);
	}
	*out = ay_steal_ptr(&r);
	return 0;
}

/* ---- files ---- */

static int kind_dir(enum ay_repo_kind kind)
{
	return kind == AY_REPO_RELEASE ? RELEASES : kind == AY_REPO_MANIFEST ? MANIFESTS : BUNDLES;
}

/* Does @dirfd/@name hold exactly @data? */
static bool holds(int dirfd, const char *name, const void *data, size_t len)
{
	AY_FREE uint8_t *kept = NULL;
	size_t kept_len = 0;
	return ay__read_file(dirfd, name, len, &kept, &kept_len, NULL) == 0 && kept_len == len &&
	       (len == 0 || memcmp(kept, data, len) == 0);
}

int ay_repo_put(struct ay_repo *r, enum ay_repo_kind kind, const void *data, size_t len, struct ay_digest *d,
		struct ay_err *err)
{
	char hex[AY_DIGEST_HEX + 1];
	int which = kind_dir(kind);

	int rc = begin_write(r, err);
	if (rc < 0)
		return rc;
	ay_digest_mem(data, len, d);
	if (holds(r->dirs[which], ay_digest_hex(d, hex), data, len))
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

	int rc = begin_write(r, err);
	if (rc < 0)
		return rc;
	ay__random_name(random);
	snprintf(name, 64, AY__TMP_PREFIX "%s", random);
	AY_CLOSE int made = r->fs->ops->open(r->fs, r->dirs[BUNDLES], name, O_RDWR | O_CREAT | O_EXCL, 0644);
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
	int dir = r->dirs[BUNDLES];

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
		r->fs->ops->unlink(r->fs, r->dirs[BUNDLES], name, 0);
}

int ay_repo_bundle_open(struct ay_repo *r, const struct ay_digest *d, int *fd, struct ay_err *err)
{
	char hex[AY_DIGEST_HEX + 1];

	int got = ay__open_beneath(r->dirs[BUNDLES], ay_digest_hex(d, hex), O_RDONLY | O_NONBLOCK);
	if (got < 0)
		return ay_err_errno(err, -got, "%s/bundles/%s", r->path, hex);
	*fd = got;
	return 0;
}

/* ---- roots ---- */

/* The version that a file name in roots/ stands for; 0 when it stands for none. */
static uint32_t root_version(const char *name)
{
	uint64_t v = 0;
	size_t len = strlen(name);

	if (len < 1 || len > 10 || name[0] == '0')
		return 0;
	for (; *name; name++) {
		if (*name < '0' || *name > '9')
			return 0;
		v = v * 10 + (uint64_t)(*name - '0');
	}
	return v <= UINT32_MAX ? (uint32_t)v : 0;
}

int ay_repo_put_root(struct ay_repo *r, uint32_t version, const void *data, size_t len, struct ay_err *err)
{
	char name[16];
	struct stat st;

	if (version == 0)
		return ay_err_set(err, AY_EUSAGE, "roots are counted from 1");
	int rc = begin_write(r, err);
	if (rc < 0)
		return rc;
	snprintf(name, sizeof(name), "%" PRIu32, version);
	if (holds(r->dirs[ROOTS], name, data, len))
		return 0;
	if (fstatat(r->dirs[ROOTS], name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return ay_err_set(err, AY_EUSAGE,
				  "%s has another root version %s already; a new root needs a new version",
				  r->path, name);
	rc = ay__store_replace_file(r->fs, r->dirs[ROOTS], name, data, len, err);
	return rc < 0 ? ay_err_wrap(err, rc, "%s/roots", r->path) : 0;
}

int ay_repo_get_root(struct ay_repo *r, uint32_t version, uint32_t *found, uint8_t **data, size_t *len,
		     struct ay_err *err)
{
	char name[16];

	if (version == 0) {
		AY_CLOSEDIR DIR *d = list(r->dirs[ROOTS]);
		if (!d)
			return ay_err_errno(err, errno, "list %s/roots", r->path);
		for (struct dirent *e; (e = readdir(d));) {
			uint32_t v = root_version(e->d_name);
			if (v > version)
				version = v;
		}
		if (version == 0)
			return ay_err_set(err, -ENOENT, "%s has no root yet", r->path);
	}
	snprintf(name, sizeof(name), "%" PRIu32, version);
	int rc = ay__read_file(r->dirs[ROOTS], name, AY_ENVELOPE_MAX, data, len, err);
	if (rc < 0)
		return ay_err_wrap(err, rc, "%s/roots", r->path);
	if (found)
		*found = version;
	return 0;
}

/* ---- offers ---- */

int ay_repo_put_offer(struct ay_repo *r, const struct ay_digest *to, const void *data, size_t len,
		      struct ay_err *err)
{
	char to_hex[AY_DIGEST_HEX + 1], hex[AY_DIGEST_HEX + 1];
	struct ay_digest d;
	bool made;

	int rc = begin_write(r, err);
	if (rc < 0)
		return rc;
	AY_CLOSE int dir = ay__make_dir(r->fs, r->dirs[OFFERS], ay_digest_hex(to, to_hex), 0755, &made);
	rc = dir < 0 ? dir : made ? r->fs->ops->fsync(r->fs, r->dirs[OFFERS]) : 0;
	if (rc < 0)
		return ay_err_errno(err, -rc, "make %s/offers/%s", r->path, to_hex);
	ay_digest_mem(data, len, &d);
	if (holds(dir, ay_digest_hex(&d, hex), data, len))
		return 0;
	rc = ay__store_replace_file(r->fs, dir, hex, data, len, err);
	return rc < 0 ? ay_err_wrap(err, rc, "%s/offers/%s", r->path, to_hex) : 0;
}

static int cmp_digests(const void *a, const void *b)
{
	return ay_digest_cmp(a, b);
}

/* The names in @dirfd that are digests, sorted, as an array in a buf. */
static int list_digests(int dirfd, struct ay_buf *out)
{
	AY_CLOSEDIR DIR *stream = list(dirfd);
	if (!stream)
		return -errno;
	ay_buf_init(out, OFFERS_MAX * sizeof(struct ay_digest));
	for (struct dirent *e; (e = readdir(stream));) {
		struct ay_digest d;
		if (ay_digest_parse(&d, e->d_name, strlen(e->d_name)) == 0)
			ay_put_bytes(out, &d, sizeof(d));
	}
	if (out->len > 0)
		qsort(out->data, out->len / sizeof(struct ay_digest), sizeof(struct ay_digest), cmp_digests);
	return ay_buf_status(out);
}

/* One offer, when it is still there and what its name says. */
static int visit_doc(int dir, const struct ay_digest *d, int (*each)(void *, const uint8_t *, size_t),
		     void *ctx)
{
	AY_FREE uint8_t *data = NULL;
	char hex[AY_DIGEST_HEX + 1];
	struct ay_digest got;
	size_t len = 0;

	int rc = ay__read_file(dir, ay_digest_hex(d, hex), AY_ENVELOPE_MAX, &data, &len, NULL);
	if (rc == -ENOENT || rc == AY_ELIMIT)
		return 0;
	if (rc < 0)
		return rc;
	ay_digest_mem(data, len, &got);
	return ay_digest_eq(&got, d) ? each(ctx, data, len) : 0;
}

/* Every document of directory @dir, taken over; @where for messages. */
static int visit_all(const struct ay_repo *r, int dir, const char *where,
		     int (*each)(void *ctx, const uint8_t *data, size_t len), void *ctx, struct ay_err *err)
{
	struct ay_buf digests = {0};

	int rc = dir < 0 ? dir : list_digests(dir, &digests);
	if (rc < 0)
		ay_err_set(err, rc, "list %s/%s: %s", r->path, where, ay_strerror(rc));
	for (size_t i = 0; rc == 0 && i < digests.len; i += sizeof(struct ay_digest)) {
		struct ay_digest d;
		memcpy(&d, digests.data + i, sizeof(d));
		rc = visit_doc(dir, &d, each, ctx);
	}
	ay_buf_release(&digests);
	if (dir >= 0)
		close(dir);
	return rc;
}

int ay_repo_each_offer(struct ay_repo *r, const struct ay_digest *to,
		       int (*each)(void *ctx, const uint8_t *data, size_t len), void *ctx, struct ay_err *err)
{
	char to_hex[AY_DIGEST_HEX + 1], where[AY_DIGEST_HEX + 16];

	int dir = ay__open_beneath(r->dirs[OFFERS], ay_digest_hex(to, to_hex), O_RDONLY | O_DIRECTORY);
	if (dir == -ENOENT)
		return 0;
	snprintf(where, sizeof(where), "offers/%s", to_hex);
	return visit_all(r, dir, where, each, ctx, err);
}

int ay_repo_each_release(struct ay_repo *r, int (*each)(void *ctx, const uint8_t *data, size_t len),
			 void *ctx, struct ay_err *err)
{
	return visit_all(r, ay__open_beneath(r->dirs[RELEASES], ".", O_RDONLY | O_DIRECTORY), "releases",
			 each, ctx, err);
}

/* ---- heads ---- */

/* branches/NAME as a path, in @out. */
static int branch_path(const struct ay_repo *r, const char *branch, struct ay_buf *out, struct ay_err *err)
{
	if (ay_branch_check(branch, strlen(branch)) < 0)
		return ay_err_set(err, AY_EUSAGE, "%s: \"%s\" is not a branch name", r->path, branch);
	ay_buf_init(out, 4096);
	int rc = ay_percent_name(out, branch);
	return rc < 0 ? ay_err_set(err, rc, "%s: branch %s: %s", r->path, branch, ay_strerror(rc)) : 0;
}

/* A head never goes back: not in (epoch, serial), and within one serial not to another release. */
static int check_newer(const struct ay_repo *r, const char *branch, const uint8_t kept[AY_HEAD_SIZE],
		       const uint8_t head[AY_HEAD_SIZE], struct ay_err *err)
{
	struct ay_head old, new;

	int rc = ay_head_parse(head, AY_HEAD_SIZE, &new, err);
	if (rc < 0)
		return rc;
	if (ay_head_parse(kept, AY_HEAD_SIZE, &old, NULL) < 0)
		return 0; /* damaged: replace it */
	int order = ay_head_cmp(&new, &old);
	if (order > 0 || (order == 0 && ay_digest_eq(&new.release, &old.release)))
		return 0;
	return ay_err_set(err, AY_EROLLBACK,
			  "%s: branch %s is at serial %" PRIu32
			  " already; a new release needs a higher one than %" PRIu32,
			  r->path, branch, old.serial, new.serial);
}

/* May @head replace what is there? */
static int check_head(struct ay_repo *r, const char *branch, const uint8_t head[AY_HEAD_SIZE],
		      struct ay_err *err)
{
	struct ay_err why = {0};
	uint8_t kept[AY_HEAD_SIZE];

	int rc = ay_repo_get_head(r, branch, kept, &why);
	if (rc == 0)
		return check_newer(r, branch, kept, head, err);
	if (rc == -ENOENT || rc == AY_EFORMAT)
		return 0;
	if (err)
		*err = why;
	return rc;
}

int ay_repo_put_head(struct ay_repo *r, const char *branch, const uint8_t head[AY_HEAD_SIZE],
		     struct ay_err *err)
{
	struct ay_buf name = {0};
	AY_CLOSE int dir = -1;
	bool made = false;

	int rc = begin_write(r, err);
	if (rc == 0)
		rc = check_head(r, branch, head, err);
	if (rc == 0)
		rc = branch_path(r, branch, &name, err);
	if (rc < 0) {
		ay_buf_release(&name);
		return rc;
	}
	dir = ay__make_dir(r->fs, r->dirs[BRANCHES], (char *)name.data, 0755, &made);
	rc = dir < 0 ? dir : made ? r->fs->ops->fsync(r->fs, r->dirs[BRANCHES]) : 0;
	ay_buf_release(&name);
	if (rc < 0)
		return ay_err_errno(err, -rc, "make the directory of branch %s in %s", branch, r->path);
	rc = ay__store_replace_file(r->fs, dir, "head", head, AY_HEAD_SIZE, err);
	return rc < 0 ? ay_err_wrap(err, rc, "head of %s in %s", branch, r->path) : 0;
}

int ay_repo_get_head(struct ay_repo *r, const char *branch, uint8_t head[AY_HEAD_SIZE], struct ay_err *err)
{
	struct ay_buf path = {0};
	AY_FREE uint8_t *data = NULL;
	size_t len = 0;

	int rc = branch_path(r, branch, &path, err);
	if (rc == 0) {
		ay_put_str(&path, "/head");
		const char *text = ay_buf_cstr(&path);
		rc = text ? ay__read_file(r->dirs[BRANCHES], text, AY_HEAD_SIZE, &data, &len, err)
			  : ay_buf_status(&path);
		if (rc == AY_ELIMIT || (rc == 0 && len != AY_HEAD_SIZE))
			rc = ay_err_set(err, AY_EFORMAT, "a head has %d bytes, this file has not",
					AY_HEAD_SIZE);
		if (rc < 0)
			ay_err_wrap(err, rc, "head of %s in %s", branch, r->path);
	}
	if (rc == 0)
		memcpy(head, data, AY_HEAD_SIZE);
	ay_buf_release(&path);
	return rc;
}

static int cmp_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int ay_repo_branches(struct ay_repo *r, char ***names, size_t *n, struct ay_err *err)
{
	AY_CLOSEDIR DIR *d = list(r->dirs[BRANCHES]);
	char **all = NULL;
	size_t count = 0;
	int rc = 0;

	if (!d)
		return ay_err_errno(err, errno, "list %s/branches", r->path);
	for (struct dirent *e; rc == 0 && (e = readdir(d));) {
		uint8_t head[AY_HEAD_SIZE];
		struct ay_buf name = {0};
		if (ay_percent_unname(&name, e->d_name) == 0 &&
		    ay_branch_check((char *)name.data, name.len) == 0 &&
		    ay_repo_get_head(r, (char *)name.data, head, NULL) == 0) {
			char **grown =
				count < BRANCHES_MAX ? reallocarray(all, count + 1, sizeof(*all)) : NULL;
			all = grown ? grown : all;
			if (grown && (all[count] = strdup((char *)name.data)))
				count++;
			else
				rc = ay_err_set(err, -ENOMEM, "%s: out of memory, or more than %d branches",
						r->path, BRANCHES_MAX);
		}
		ay_buf_release(&name);
	}
	if (rc < 0) {
		ay_store_names_free(all, count);
		return rc;
	}
	if (count > 0)
		qsort(all, count, sizeof(*all), cmp_names);
	*names = all;
	*n = count;
	return 0;
}
