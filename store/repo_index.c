/* SPDX-License-Identifier: MIT */
/*
 * A repository's roots, offers and heads: what is not found by its own digest.
 *
 * Roots are found by version and never change; offers by the tree to which they
 * lead; the head of a branch is the one file that changes, and it only goes forward.
 */
#include "store/repo_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "store/file.h"

#define OFFERS_MAX   4096 /* per target tree: each is a way to it */
#define BRANCHES_MAX 4096

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
	int rc = ay__repo_begin_write(r, err);
	if (rc < 0)
		return rc;
	snprintf(name, sizeof(name), "%" PRIu32, version);
	if (ay__repo_holds(r, r->dirs[AY__REPO_ROOTS], name, data, len))
		return 0;
	if (fstatat(r->dirs[AY__REPO_ROOTS], name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return ay_err_set(err, AY_ESTATE,
				  "%s has another root version %s already; a new root needs a new version",
				  r->path, name);
	rc = ay__store_replace_file(r->fs, r->dirs[AY__REPO_ROOTS], name, data, len, err);
	return rc < 0 ? ay_err_wrap(err, rc, "%s/roots", r->path) : 0;
}

int ay_repo_get_root(struct ay_repo *r, uint32_t version, uint32_t *found, uint8_t **data, size_t *len,
		     struct ay_err *err)
{
	char name[16];

	if (version == 0) {
		AY_CLOSEDIR DIR *d = ay__repo_list(r->dirs[AY__REPO_ROOTS]);
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
	int rc = ay__read_file(r->dirs[AY__REPO_ROOTS], name, AY_ENVELOPE_MAX, data, len, err);
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

	int rc = ay__repo_begin_write(r, err);
	if (rc < 0)
		return rc;
	AY_CLOSE int dir = ay__repo_subdir(r, AY__REPO_OFFERS, ay_digest_hex(to, to_hex));
	if ((rc = dir) < 0)
		return ay_err_errno(err, -rc, "make %s/offers/%s", r->path, to_hex);
	ay_digest_mem(data, len, &d);
	if (ay__repo_holds(r, dir, ay_digest_hex(&d, hex), data, len))
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
	AY_CLOSEDIR DIR *stream = ay__repo_list(dirfd);
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

/* Will the next file fail like this one? Then it is the machine's trouble, else that file's. */
static bool is_machines(int rc)
{
	return rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE;
}

/* One document, when it is still there, readable, and what its name says. */
static int visit_doc(int dir, const struct ay_digest *d, int (*each)(void *, const uint8_t *, size_t),
		     void *ctx, struct ay_err *err)
{
	AY_FREE uint8_t *data = NULL;
	char hex[AY_DIGEST_HEX + 1];
	struct ay_digest got;
	size_t len = 0;

	int rc = ay__read_file(dir, ay_digest_hex(d, hex), AY_ENVELOPE_MAX, &data, &len, NULL);
	if (rc < 0)
		return is_machines(rc) ? ay_err_errno(err, -rc, "read %s", hex) : 0;
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
		rc > -4096 ? ay_err_errno(err, -rc, "list %s/%s", r->path, where)
			   : ay_err_set(err, rc, "list %s/%s: %s", r->path, where, ay_strerror(rc));
	for (size_t i = 0; rc == 0 && i < digests.len; i += sizeof(struct ay_digest)) {
		struct ay_digest d;
		memcpy(&d, digests.data + i, sizeof(d));
		rc = visit_doc(dir, &d, each, ctx, err);
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

	int dir =
		ay__open_beneath(r->dirs[AY__REPO_OFFERS], ay_digest_hex(to, to_hex), O_RDONLY | O_DIRECTORY);
	if (dir == -ENOENT)
		return 0;
	snprintf(where, sizeof(where), "offers/%s", to_hex);
	return visit_all(r, dir, where, each, ctx, err);
}

int ay_repo_each_release(struct ay_repo *r, int (*each)(void *ctx, const uint8_t *data, size_t len),
			 void *ctx, struct ay_err *err)
{
	return visit_all(r, ay__open_beneath(r->dirs[AY__REPO_RELEASES], ".", O_RDONLY | O_DIRECTORY),
			 "releases", each, ctx, err);
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

	int rc = ay__repo_begin_write(r, err);
	if (rc == 0)
		rc = check_head(r, branch, head, err);
	if (rc == 0)
		rc = branch_path(r, branch, &name, err);
	if (rc < 0) {
		ay_buf_release(&name);
		return rc;
	}
	dir = ay__repo_subdir(r, AY__REPO_BRANCHES, (char *)name.data);
	ay_buf_release(&name);
	if ((rc = dir) < 0)
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
		rc = text ? ay__read_file(r->dirs[AY__REPO_BRANCHES], text, AY_HEAD_SIZE, &data, &len, err)
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
	AY_CLOSEDIR DIR *d = ay__repo_list(r->dirs[AY__REPO_BRANCHES]);
	char **all = NULL;
	size_t count = 0;
	int rc = 0;

	if (!d)
		return ay_err_errno(err, errno, "list %s/branches", r->path);
	for (struct dirent *e; rc == 0 && (e = readdir(d));) {
		uint8_t head[AY_HEAD_SIZE];
		struct ay_buf name = {0};
		int q = ay_percent_unname(&name, e->d_name);
		if (q == -ENOMEM)
			rc = ay_err_errno(err, ENOMEM, "list %s/branches", r->path);
		bool is_name = q == 0 && ay_branch_check((char *)name.data, name.len) == 0;
		struct ay_err why = {0};
		int has = is_name ? ay_repo_get_head(r, (char *)name.data, head, &why) : -ENOENT;
		if (ay__own_lack(has) || has == -EIO)
			rc = ay_err_set(err, has, "%s", why.msg);
		if (has == 0) {
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
